# SPDX-License-Identifier: MIT
# A thin front for meson and scripts/. Products: build/samara, build/libsamara.so, build/libsamara.a.

PREFIX ?= /usr/local
# By the shell, since abspath takes a path with a space for two.
ABSOLUTE_PREFIX = "$$(realpath -ms "$(PREFIX)")"
DEMO_TRACES ?= traces/lavapipe-glmark2.trace.xz

REV_A ?= HEAD
REV_B ?= .
# Patterns are expanded here: each file needs a --trace of its own. A pattern that matches no file stays, so
# that there is a complaint about it.
BENCH_TRACES = $(foreach trace,$(DEMO_TRACES),$(or $(wildcard $(trace)),$(trace)))

.PHONY: all build deps demo check check-long check-aarch64 check-s390x bench bench-regress install format clean

all: build

deps:
	@scripts/deps

build: deps
	@[ -f build/build.ninja ] || meson setup build --prefix $(ABSOLUTE_PREFIX)
	@ninja -C build

demo: build
	build/samara replay --through=queue --submitters=2 --engines=2 --readers=2 --check=every $(DEMO_TRACES)

check: deps
	@scripts/check

check-long: deps
	@scripts/check long

# Another architecture, in an emulator.
check-aarch64 check-s390x: check-%:
	@scripts/deps $*
	@SAMARA_BUILDS=$* scripts/check

# In a build folder of its own, without the tests.
bench:
	@scripts/deps bench
	@[ -f build/bench/build.ninja ] || meson setup build/bench -Dbench=true -Dtests=false
	@ninja -C build/bench
	build/bench/bench/samara-bench $(addprefix --trace ,$(BENCH_TRACES)) --json build/bench/bench.json \
		$(BENCH_ARGS)
	@rm -rf build/bench/plots
	@bench/plot.py build/bench/bench.json build/bench/plots
	@[ ! -x build/bench/bench/samara-bench-sm-map ] || build/bench/bench/samara-bench-sm-map

# Compares the instructions of each workload in two revisions; "." is the working tree.
bench-regress:
	@scripts/deps regress
	@scripts/bench-regress $(REV_A) $(REV_B)

install: build
	@meson configure build -Dprefix=$(ABSOLUTE_PREFIX)
	@ninja -C build
	DESTDIR="$(DESTDIR)" meson install -C build --no-rebuild

format:
	@scripts/format

clean:
	rm -rf build
