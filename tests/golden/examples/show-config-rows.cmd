partita show-config --rows soc:sd8gen3
