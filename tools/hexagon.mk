# SPDX-License-Identifier: GPL-3.0-or-later
# The DSP side of the Hexagon NPU, three times from the same sources (docs/hexagon.md): the skel for
# each architecture that is shipped, an archive for executables of the emulator, and objects for this
# machine, which only tests link. Nothing else in the build needs the cross compiler.
H := build/hexagon
DSPSRC  := $(wildcard engine/host/npu/dsp/*.c)
DSPOBJS := $(DSPSRC:%.c=$(B)/%.o)
HEX_ARCHS := v68 v69 v73
HEX_CC := clang-19
HEX_QEMU := $(H)/qemu/usr/bin/qemu-hexagon
HEX_TOOLS := clang-19 ld.lld-19 llvm-ar-19 llvm-objdump-19
HEX_MISSING := $(strip $(foreach t,$(HEX_TOOLS),$(if $(shell command -v $t),,$t)) $(if $(wildcard $(HEX_QEMU)),,qemu-hexagon))
# No vector floating point: what the emulator executes must not have any (tools/hexagon_check.sh).
HEX_CFLAGS := -std=c11 -I. $(WARN) -O2 -ffreestanding -fno-builtin -ffp-contract=off -fno-vectorize \
              -fno-slp-vectorize -mhvx -mhvx-length=128B -mno-hvx-qfloat -mno-hvx-ieee-fp \
              -ffile-prefix-map=$(CURDIR)=.
HEX_EMULATED := --target=hexagon-unknown-linux-musl -mcpu=hexagonv68 -DNPU_EMULATED
HEX_SKEL := --target=hexagon-unknown-elf -G0 -fPIC -fvisibility=hidden
HEX_LINK := $(HEX_CC) $(HEX_EMULATED) -nostdlib -static -fuse-ld=lld -B/usr/lib/llvm-19/bin

.PHONY: hexagon deps-hexagon
deps-hexagon:
	@sh tools/deps.sh hexagon
	@sh tools/hexagon_qemu.sh $(H)/qemu

HEX_SKELS := $(HEX_ARCHS:%=$(H)/%/libpartita_npu_skel.so)
HEX_ALL := $(HEX_SKELS) $(H)/libpartita_npu_emulated.a $(H)/dsp_runner
ifeq ($(HEX_MISSING),)
hexagon: $(HEX_ALL)
else
hexagon:
	@echo "make hexagon: missing: $(HEX_MISSING); make deps-hexagon installs it" >&2; exit 1
endif

define HEX_SKEL_RULES
$(H)/$1/%.o: %.c
	@mkdir -p $$(@D)
	@echo "  HEX  $$< $1"
	@$(HEX_CC) $(HEX_SKEL) -mcpu=hexagon$1 $(HEX_CFLAGS) -MMD -MP -c $$< -o $$@
$(H)/$1/libpartita_npu_skel.so: $(DSPSRC:%.c=$(H)/$1/%.o) tools/hexagon_check.sh
	@ld.lld-19 -shared -soname libpartita_npu_skel.so --hash-style=sysv -z max-page-size=4096 -Bsymbolic \
	    $$(filter %.o,$$^) -o $$@
	@sh tools/hexagon_check.sh $$@
endef
$(foreach a,$(HEX_ARCHS),$(eval $(call HEX_SKEL_RULES,$a)))

$(H)/emulated/%.o: %.c
	@mkdir -p $(@D)
	@echo "  HEX  $< emulated"
	@$(HEX_CC) $(HEX_EMULATED) $(HEX_CFLAGS) -MMD -MP -c $< -o $@
$(H)/libpartita_npu_emulated.a: $(DSPSRC:%.c=$(H)/emulated/%.o) tools/hexagon_check.sh
	@rm -f $@
	@llvm-ar-19 rcsD $@ $(filter %.o,$^)
	@sh tools/hexagon_check.sh $@
# Runs cases of tests/engine/host/npu/test_dsp.c in the emulator.
HEX_RUNNER := $(H)/dsp_runner
$(HEX_RUNNER): $(H)/emulated/tests/engine/host/npu/dsp_runner.o $(H)/libpartita_npu_emulated.a tools/hexagon_check.sh
	@$(HEX_LINK) $(filter-out %.sh,$^) -o $@
	@sh tools/hexagon_check.sh $@
$(B)/tests/engine/host/npu/test_dsp $(B)/tests/engine/host/npu/test_dsp_hostile: $(DSPOBJS)
ifeq ($(HEX_MISSING),)
$(B)/tests/engine/host/npu/test_dsp $(B)/tests/engine/host/npu/test_dsp_packets $(B)/bench/bench_hexagon: | $(HEX_RUNNER)
endif

-include $(foreach d,emulated $(HEX_ARCHS),$(DSPSRC:%.c=$(H)/$d/%.d))
