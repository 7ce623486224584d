# SPDX-License-Identifier: GPL-3.0-or-later
# The stand-in for the DSP's driver library, twice: with the skel compiled for this machine, and with
# the skel for Hexagon under the emulator (only where its tools are; the tests say when they skip).
STANDIN_SRC := tests/hexagon/standin.c tests/hexagon/standin.h engine/host/npu/fastrpc.h engine/host/npu/protocol.h
# What runs the DSP's process where this machine cannot (a cross build): C strings, each with a comma.
STANDIN_RUNNER ?=
STANDINS := $(B)/hexagon/native/libcdsprpc.so
ifeq ($(HEX_MISSING),)
STANDINS += $(B)/hexagon/emulated/libcdsprpc.so
endif
STANDIN_CC = $(CC) $(CFLAGS) -shared -fPIC -o $@ $<

$(B)/hexagon/native/libcdsprpc.so: $(STANDIN_SRC) $(B)/hexagon/native/dsp
	@mkdir -p $(@D)
	@$(STANDIN_CC) -DSTANDIN_DSP='$(STANDIN_RUNNER) "$(abspath $(B)/hexagon/native/dsp)"'
$(B)/hexagon/native/dsp: $(B)/tests/hexagon/shell.o $(B)/tests/hexagon/shell_native.o $(DSPOBJS)
	@mkdir -p $(@D)
	@$(CC) $(SAN) $^ -o $@ -pthread
$(B)/hexagon/emulated/libcdsprpc.so: $(STANDIN_SRC) $(H)/dsp
	@mkdir -p $(@D)
	@$(STANDIN_CC) -DSTANDIN_DSP='"$(abspath $(HEX_QEMU))", "$(abspath $(H)/dsp)"'
$(H)/dsp: $(H)/emulated/tests/hexagon/shell.o $(H)/emulated/tests/hexagon/shell_hexagon.o $(H)/libpartita_npu_emulated.a
	@$(HEX_LINK) $^ -o $@

.PHONY: hexagon-standin
hexagon-standin: $(STANDINS)
test-programs: $(STANDINS)
$(filter $(B)/tests/hexagon/% $(B)/tests/contract/% $(B)/tests/golden/%,$(TESTS)): | $(STANDINS)
-include $(B)/tests/hexagon/shell.d $(B)/tests/hexagon/shell_native.d $(DSPOBJS:.o=.d)
