# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands that people type; the building itself is meson's. `make help` lists them.

PREFIX ?= /usr/local
BUILD ?= build
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := all
.PHONY: all demo check coverage check-vm fuzz soak bench install clean help

# One stamp for each set of packages: the second run asks nobody.
build-stamps/%: scripts/packages
	scripts/packages $*
	@mkdir -p $(@D) && touch $@

# A build directory without build.ninja is the remains of a set-up that failed.
$(BUILD)/build.ninja: | build-stamps/build
	meson setup $(if $(wildcard $(BUILD)/meson-private),--wipe) --prefix=$(abspath $(PREFIX)) $(BUILD)

all: $(BUILD)/build.ninja
	ninja -j$(JOBS) -C $(BUILD)

demo: build-stamps/demo all
	demo/run $(BUILD)
	demo/without-kernel $(BUILD)

check: build-stamps/check
	scripts/check -j $(JOBS)

# Every test, and then the lines that none has reached.
coverage: build-stamps/check
	scripts/check -j $(JOBS) coverage

# Other kernels and processors, emulated. TARGET=s390x: only this one; VM=--full: every live test.
check-vm: build-stamps/vm
	tests/vm/run -j $(JOBS) $(VM) $(TARGET)

# FUZZ_SECONDS=60 FUZZ='wire pcap': each for that long, all of them when none is named
fuzz: build-stamps/check
	CC=clang meson setup $(if $(wildcard build-fuzz/build.ninja),--reconfigure) -Db_sanitize=address,undefined \
		-Db_lundef=false build-fuzz
	tests/fuzz/run build-fuzz $(FUZZ)

# SOAK_SECONDS=600 for less than an hour; SOAK_SEED=N for the random numbers of an earlier run
soak: build-stamps/demo all
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} tests/soak/run $(BUILD)

# BENCH='--quick --only tcp': what bench/run understands
bench: build-stamps/bench
	bench/run $(BENCH)

# PREFIX=/usr puts things where a distribution has them; DESTDIR goes in front of it.
install: all
	meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	ninja -j$(JOBS) -C $(BUILD)
	DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-vm build-bench build-gcc build-clang build-asan build-tsan \
		build-coverage build-analyzer build-fuzz build-stamps

help:
	@echo "make            build the library and the tools (in $(BUILD)/)"
	@echo "make demo       an old libipq program decides about real packets, in a private namespace"
	@echo "make check      every test tier, with gcc, clang, the sanitizers, valgrind, cppcheck"
	@echo "make coverage   the lines of src/ and tools/ipq/ that no test reaches"
	@echo "make check-vm   the tests on Debian's kernels for other processors, in qemu; TARGET=s390x for one"
	@echo "make fuzz       hostile input, FUZZ_SECONDS=600 for each parser; FUZZ='wire pcap' for these only"
	@echo "make soak       an hour of everything at full load, in a private namespace; SOAK_SECONDS=60 for less"
	@echo "make bench      measure against libnetfilter_queue and loops by hand; BENCH=--quick for less"
	@echo "make install    PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"
	@echo "make clean      remove what was built"
