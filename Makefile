# SPDX-License-Identifier: LGPL-2.1-or-later
# A short command for each common task. Meson does the building. `make help` lists the commands.

PREFIX ?= /usr/local
BUILD ?= build
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := all
.PHONY: all demo quick check coverage check-vm fuzz mutants soak bench deb install clean help

# Installs the packages that a target needs. The stamp makes the second run skip it.
build-stamps/%: scripts/packages
	scripts/packages $*
	@mkdir -p $(@D) && touch $@

# A build directory without build.ninja is the result of a failed "meson setup".
$(BUILD)/build.ninja:
	@for tool in meson ninja pkg-config; do command -v $$tool >/dev/null || { \
		echo "make: $$tool is missing; \"scripts/packages build\" installs what the build needs" >&2; exit 1; }; done
	meson setup $(if $(wildcard $(BUILD)/meson-private),--wipe) --prefix=$(abspath $(PREFIX)) $(BUILD)

# Installs no packages. Without libpcap or cmocka it leaves out the command or the tests.
all: $(BUILD)/build.ninja
	ninja -j$(JOBS) -C $(BUILD)

demo: build-stamps/demo $(BUILD)/build.ninja
	ninja -j$(JOBS) -C $(BUILD) demo/firewall demo/capture demo/traffic tools/ipq/ipq
	demo/run $(BUILD)
	demo/without-kernel $(BUILD)

quick: build-stamps/check
	scripts/check -j $(JOBS) quick

check: build-stamps/check
	scripts/check -j $(JOBS)

# Runs every test, then lists the lines that no test reached.
coverage: build-stamps/check
	scripts/check -j $(JOBS) coverage

# Tests on other kernels and processors, emulated. TARGET=s390x: only on this one; VM=--full: all live tests.
check-vm: build-stamps/vm
	tests/vm/run -j $(JOBS) $(VM) $(TARGET)

# FUZZ_SECONDS=60 FUZZ='wire pcap': these fuzzers, 60 seconds each. Without FUZZ: all of them.
fuzz: build-stamps/check
	CC=clang meson setup $(if $(wildcard build-fuzz/build.ninja),--reconfigure) -Db_sanitize=address,undefined \
		-Db_lundef=false build-fuzz
	tests/fuzz/run build-fuzz $(FUZZ)

# Which defects do the tests notice? MUTANTS='core nfqueue': those in these rooms. See tests/mutants/README.md.
mutants: build-stamps/check
	tests/mutants/run -j $(JOBS) $(MUTANTS)

# SOAK_SECONDS=600: ten minutes instead of an hour; SOAK_SEED=N: the random numbers of an earlier run.
soak: build-stamps/check all
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} tests/soak/run $(BUILD)

# BENCH='--quick --only tcp': options of bench/run.
bench: build-stamps/bench
	bench/run $(BENCH)

# Builds the committed files, in build-deb/.
deb: build-stamps/deb
	packaging/make-deb build-deb

# Distributions use PREFIX=/usr. DESTDIR is put in front of it.
install: all
	meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	ninja -j$(JOBS) -C $(BUILD)
	DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig || true

clean:
	rm -rf $(BUILD) build-vm build-bench build-gcc build-clang build-asan build-ubsan build-tsan \
		build-coverage build-analyzer build-fuzz build-mutants build-deb build-stamps

help:
	@echo "make            build the library and the command (in $(BUILD)/); installs no packages"
	@echo "make demo       an old libipq program decides about real packets, in a private namespace"
	@echo "make quick      a test result in a minute: gcc, unit tests and the most important live tests"
	@echo "make check      every test, with gcc, clang, the sanitizers, valgrind and the analyzers"
	@echo "make coverage   the lines of src/ and tools/ipq/ that no test reaches"
	@echo "make check-vm   the tests on Debian's kernels for other processors, in qemu; TARGET=s390x for one"
	@echo "make fuzz       hostile input, FUZZ_SECONDS=600 for each parser; FUZZ='wire pcap' for these only"
	@echo "make mutants    which deliberate defects the tests notice; MUTANTS='core nfqueue' for these rooms"
	@echo "make soak       an hour of everything at full load, in a private namespace; SOAK_SECONDS=60 for less"
	@echo "make bench      measure against libnetfilter_queue and hand-written loops; BENCH=--quick for less"
	@echo "make deb        Debian packages of the committed files, in build-deb/"
	@echo "make install    PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"
	@echo "make clean      remove what was built"
