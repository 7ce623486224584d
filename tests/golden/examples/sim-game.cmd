partita sim --soc sd8gen3 --model llama3.2-1b --prompt 128 --gen 16 --policy layer --set gpu.game.rate=60
