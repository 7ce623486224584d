partita validate tiny --model qwen2-1.5b --machine soc:sd8gen3 --top 2 --spread 3 --repeat 2 --max-error 10 --min-tau 0.95 --limit ttft
