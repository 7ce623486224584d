partita bench --soc sd8gen3 --model llama3-8b -p 256 -n 32
