partita check --model tinyllama-1.1b --prompt 300 --gen 4
