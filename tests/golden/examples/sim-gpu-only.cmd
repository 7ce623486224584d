partita sim --soc sd8gen3 --model llama3-8b --prompt 256 --gen 32 --policy gpu_only --sync queue_order
