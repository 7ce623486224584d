partita sim --soc sd8gen3 --model internlm2-1.8b --prompt 64 --gen 8 --policy weight_centric:share=25\ % --json
