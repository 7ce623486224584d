partita sim --optimum --sync queue_order --gen 4
