partita sim --soc sd8gen3 --model llama3-8b --prompt 300 --gen 4 --plan
