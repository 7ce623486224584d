partita show-config soc:sd8gen3 --set npu.arch.arrays=4
