for soc in sd8elite dimensity9300 a18; do
    partita sim --soc $soc --model llama3.2-3b --prompt 256 --gen 16
done
partita sim --soc orin --model llama3.2-3b --prompt 256 --gen 16 --policy gpu_only
