partita sim --soc sd9gen3
partita sim --policy hetero
partita sim --sync fast
partita sim --set dram.with=64
partita run data/partita-stories.cfg
partita sim --soc orin --policy npu_only
partita run data/partita-stories.gguf --on-device-loss maybe
