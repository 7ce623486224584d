# SPDX-License-Identifier: GPL-3.0-or-later
# Partita. The two commands of a newcomer: `make demo` and `make test`; both install what is missing
# (make deps), build, and run. `make` alone builds build/release/partita.
#
#   config=release|debug|asan|tsan|cov   one build folder each, so that switching never needs a clean
#   CC=gcc|clang   O=0|2                 (a different compiler or level wants its own folder: tag=NAME)

MAKEFLAGS += --no-builtin-rules
config ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
O ?= 2
tag ?=
B := build/$(config)$(tag)

PKGS := libconfig gsl jansson sqlite3 OpenCL
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
        -Wundef -Wformat=2 -Werror -Werror=date-time
BASE := -std=c11 -D_GNU_SOURCE -DCL_TARGET_OPENCL_VERSION=300 -I. -I$(B)/gen $(WARN) -g \
        -ffp-contract=off -fno-common -pthread -ffile-prefix-map=$(CURDIR)=.
CFLAGS_release := -O$(O)
CFLAGS_debug   := -O0
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -fsanitize=thread
CFLAGS_cov     := -O0 --coverage
SAN := $(CFLAGS_$(config))
CFLAGS = $(BASE) $(SAN) $(shell pkg-config --cflags $(PKGS))
LDLIBS = $(shell pkg-config --libs $(PKGS)) -lm -pthread -ldl
# Not asked of the compiler, which `make deps` may be about to install. A cross build says ARCH=aarch64.
ARCH ?= $(shell uname -m)

DIRS := base sim engine engine/encoding engine/host engine/host/npu models/dram models/soc models/npu \
        policies/partition policies/sync explore explore/search
SRCS := $(wildcard $(addsuffix /*.c,$(DIRS)))
OBJS := $(SRCS:%.c=$(B)/%.o)
CLI  := $(wildcard cli/*.c)
CLIOBJS := $(CLI:%.c=$(B)/%.o)

# A file whose name ends in _avx2, _avx512, _amx, _neon or _i8mm is compiled for that instruction set; whether it
# may run is decided at run time. Elsewhere the file compiles to nothing.
ifeq ($(ARCH),x86_64)
ISA_avx2   := -mavx2 -mfma -mf16c
ISA_avx512 := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
ISA_amx    := $(ISA_avx512) -mamx-tile -mamx-int8 -mamx-bf16
else ifeq ($(ARCH),aarch64)
ISA_neon   := -march=armv8.2-a+dotprod
ISA_i8mm   := -march=armv8.2-a+dotprod+i8mm
# GCC 12 dies of vectorising some fmax() loops on ARM64; only tests have them, and need no speed.
$(B)/tests/%: private CFLAGS += -fno-tree-vectorize
endif
isa = $(ISA_$(lastword $(subst _, ,$(basename $(notdir $1)))))

# Registries: one plug-in = one file exporting one const struct named like the file.
# folder:struct type:variable prefix
REGISTRIES := policies/partition:policy_ops:policy_ policies/sync:sync_ops:sync_ \
              explore/search:search_ops:search_ engine/encoding:encoding:encoding_ \
              models/npu:npu_model_ops:npu_
REGC := $(foreach r,$(REGISTRIES),$(B)/gen/registry_$(subst /,_,$(firstword $(subst :, ,$r))).c)
REGO := $(REGC:.c=.o)
CLSRC := $(sort $(wildcard engine/host/kernels/*.cl))
CLGEN := $(if $(CLSRC),$(B)/gen/opencl_source.o)
# The page's scripts share one scope, in this order.
PAGEJS := $(addprefix explore/page/,base.js fronts.js parallel.js effects.js plans.js timeline.js more.js \
        table.js main.js)
PAGELIB := third_party/echarts/echarts.min.js

LIB := $(B)/libpartita.a
EXE := $(B)/partita

TESTSRC := $(shell find tests -name 'test_*.c')
TESTS   := $(TESTSRC:%.c=$(B)/%)
BENCHSRC := $(wildcard bench/bench_*.c)
BENCHES  := $(BENCHSRC:%.c=$(B)/%)

.PHONY: all deps demo loop repro test test-long test-slurm lint bench fuzz clean format registry-check
.DELETE_ON_ERROR:
.PRECIOUS: $(B)/%.o # chained by the pattern rules, worth keeping

all: deps-build $(EXE)

# Installs only what is missing, by package name; says nothing when all is there.
.PHONY: deps-build
deps:
	@sh tools/deps.sh build test lint
deps-build:
	@sh tools/deps.sh build

$(REGC): $(B)/gen/registry_%.c: tools/registry.sh FORCE
	@mkdir -p $(@D)
	@sh tools/registry.sh $(filter $(subst _,/,$*):%,$(REGISTRIES)) >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
# The version of the code: of the sources, so that stored results know what they were made by.
VERSIONED := $(SRCS) $(wildcard $(addsuffix /*.h,$(DIRS))) $(wildcard engine/host/kernels/*.cl)
$(B)/gen/version.c: tools/version.sh $(VERSIONED)
	@mkdir -p $(@D)
	@sh tools/version.sh $(VERSIONED) >$@.new
	@cmp -s $@.new $@ && rm $@.new && touch $@ || mv $@.new $@
$(B)/gen/%.o: $(B)/gen/%.c
	@echo "  CC   $<"
	@$(CC) $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/gen/opencl_source.c: tools/embed.sh $(CLSRC)
	@mkdir -p $(@D)
	@sh tools/embed.sh opencl_source $(CLSRC) >$@
# The report page's own parts and the charting library, one constant each.
PAGE := explore/page/report.html explore/page/report.css $(PAGEJS) $(PAGELIB)
$(B)/gen/report_page.c: tools/embed.sh $(PAGE)
	@mkdir -p $(@D)
	@{ sh tools/embed.sh report_page_html explore/page/report.html && \
	   sh tools/embed.sh report_page_css explore/page/report.css && \
	   sh tools/embed.sh report_page_js $(PAGEJS) && \
	   sh tools/embed.sh report_page_charts $(PAGELIB); } >$@
$(B)/%.o: %.c | deps-build
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CFLAGS) $(call isa,$<) -MMD -MP -c $< -o $@
$(LIB): $(OBJS) $(REGO) $(CLGEN) $(B)/gen/report_page.o $(B)/gen/version.o
	@rm -f $@
	@echo "  AR   $@"
	@ar rcsD $@ $^
$(EXE): $(CLIOBJS) $(LIB)
	@echo "  LD   $@"
	@$(CC) $(SAN) $(CLIOBJS) $(LIB) -o $@ $(LDLIBS)

$(B)/tests/%: $(B)/tests/%.o $(B)/tests/harness.o $(LIB)
	@echo "  LD   $@"
	@$(CC) $(SAN) $^ -o $@ $(LDLIBS) -lcunit
$(B)/bench/%: $(B)/bench/%.o $(LIB)
	@$(CC) $(SAN) $^ -o $@ $(LDLIBS)

include tools/hexagon.mk
-include tests/hexagon/standin.mk

.PHONY: FORCE
FORCE:

export UBSAN_OPTIONS := print_stacktrace=1
export LSAN_OPTIONS := suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0
export ASAN_OPTIONS := detect_stack_use_after_return=0
export TSAN_OPTIONS := suppressions=$(CURDIR)/tests/tsan.supp
ifneq ($(config),release)
export TEST_TIMEOUT := 900
endif

test-programs: $(TESTS) $(EXE)
.PHONY: test-programs
test: deps
	@$(MAKE) --no-print-directory test-programs
	@PARTITA=$(EXE) sh tests/run.sh $(TESTS)
# The suites with threads in them, for config=tsan.
THREADED := $(filter $(B)/tests/engine/host/% $(B)/tests/contract/test_sync% $(B)/tests/base/% \
        $(B)/tests/contract/test_split $(B)/tests/contract/test_device_loss,$(TESTS))
.PHONY: test-threads
test-threads: deps
	@$(MAKE) --no-print-directory $(THREADED)
	@sh tests/run.sh $(THREADED)
# Reference values for tests/explore/test_hypervolume.c, which says so when this is not there.
build/pagmo_hypervolume: tests/explore/pagmo_hypervolume.cc
	@sh tools/deps.sh pagmo
	@mkdir -p $(@D)
	@g++ -O1 $< -o $@ -lpagmo -ltbb -lboost_serialization
# Nightly: everything that takes long, and what needs large packages.
test-long: build/pagmo_hypervolume
	@sh tools/deps.sh browser
	@$(MAKE) --no-print-directory test
	@PARTITA=$(EXE) PARTITA_KILLS=50 sh tests/run.sh $(B)/tests/explore/test_resume $(B)/tests/cli/test_explore
	@PARTITA_SPLITS=10000 PARTITA_LOSSES=every TEST_TIMEOUT=3000 sh tests/run.sh $(B)/tests/contract/test_split \
	    $(B)/tests/contract/test_device_loss
	@PARTITA_KILLS=100 TEST_TIMEOUT=900 sh tests/run.sh $(B)/tests/hexagon/test_kills
	@PARTITA_IMAGES=every TEST_TIMEOUT=900 sh tests/run.sh $(B)/tests/engine/host/test_opencl
	@PARTITA_PAIRS=every TEST_TIMEOUT=3000 sh tests/run.sh $(B)/tests/golden/test_tokens_emulated
	@$(MAKE) --no-print-directory digests
	@$(MAKE) --no-print-directory config=asan test
	@$(MAKE) --no-print-directory config=tsan test-threads
	@FUZZ_SECONDS=300 $(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory test-slurm

# Job arrays on a real cluster of four nodes, all on this machine. Needs root, and says so.
test-slurm: all
	@[ "$$(id -u)" -ne 0 ] || sh tools/deps.sh slurm
	@sh tests/slurm/run.sh $(EXE)

demo: all
	@PARTITA=$(EXE) sh tools/demo.sh

# The predictions that are kept, and their plots (these need gnuplot). tests/cli/test_repro.c compares.
repro: all
	@$(EXE) repro heteroinfer -o results/repro/heteroinfer.csv --plots results/repro

# From this machine to a proven configuration in four commands; docs/loop.md. Wants a quiet machine.
loop: all
	@PARTITA=$(EXE) sh tools/loop.sh

lint: deps
	@sh tools/lint/run.sh "$(CC)" "$(CFLAGS)"

# ARM64 Linux, cross-built and run under an emulator; see docs/device.md.
.PHONY: arm64
arm64: all
	@sh tools/deps.sh arm64 test
	@sh tools/cross/arm64.sh

# Equal digests from gcc and clang, -O0 and -O2, one worker and three.
.PHONY: digests
digests: deps
	@sh tools/digests.sh

bench: $(BENCHES) $(EXE)
	@for b in $(BENCHES); do echo "== $$b"; $$b || exit 1; done

fuzz: deps
	@sh tools/fuzz.sh "$(BASE)"

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build

-include $(OBJS:.o=.d) $(CLIOBJS:.o=.d) $(REGO:.o=.d) $(TESTS:=.d) $(BENCHES:=.d) $(B)/tests/harness.d
