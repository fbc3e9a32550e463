# One door: what a person, CI and a release run. `make help` lists the targets.

CARGO   ?= cargo
INSTALL ?= install
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
DESTDIR ?=

TARGET   := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := $(basename $(notdir $(wildcard src/bin/*.rs)))
BINARIES := $(PROGRAMS:%=$(TARGET)/release/%)
SOURCES  := $(shell find src -name '*.rs') Cargo.toml Cargo.lock
PAGES    := $(wildcard man/*.[1-8])

.DEFAULT_GOAL := all
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help all demo setup check fmt lint test bench install uninstall static clean

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 12

all: $(BINARIES) ## release builds of the programs

# Nothing is built when nothing changed, so `sudo make install` after `make` needs no cargo.
$(BINARIES) &: $(SOURCES)
	$(CARGO) build --release --locked --bins
	@touch $(BINARIES)

demo: $(BINARIES) ## two scratch filesystems, a synchronisation and its proof (root)
	@contrib/demo.sh '$(TARGET)/release'

setup: ## install what demo, check and bench need and the machine lacks (root)
	@contrib/setup.sh

check: ## everything that must hold: format, lints, tests, man pages
	@contrib/check.sh

fmt: ## format the sources
	$(CARGO) fmt

lint: ## the compiler's and clippy's opinion
	$(CARGO) clippy --locked --all-targets -- -D warnings

test: ## unit, documentation and integration tests
	$(CARGO) test --locked

bench: $(BINARIES) ## figures beside those of the plain tools; ARGS=--quick for a glance (root)
	@contrib/setup.sh
	python3 benches/local.py --programs '$(TARGET)/release' --scratch '$(TARGET)/bench' $(ARGS)
	python3 benches/remote.py --programs '$(TARGET)/release' --scratch '$(TARGET)/bench' $(ARGS)
	python3 benches/s3.py --programs '$(TARGET)/release' --scratch '$(TARGET)/bench' $(ARGS)
	$(CARGO) bench --locked --bench frames
	python3 benches/checksum.py --programs '$(TARGET)/release' --scratch '$(TARGET)/bench' $(filter --quick,$(ARGS))

install: $(BINARIES) ## programs and man pages below $(DESTDIR)$(PREFIX)
	$(INSTALL) -d '$(DESTDIR)$(BINDIR)'
	$(INSTALL) -m 755 $(BINARIES) '$(DESTDIR)$(BINDIR)'
	for page in $(PAGES); do \
	    $(INSTALL) -D -m 644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}" || exit; \
	done

uninstall: ## remove what install put there
	for program in $(PROGRAMS); do rm -f "$(DESTDIR)$(BINDIR)/$$program"; done
	for page in $(PAGES); do rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; done

static: ## programs without shared libraries
	@if [ -x contrib/static.sh ]; then exec contrib/static.sh; \
	else echo 'make static: there is no static build yet; use make all' >&2; exit 1; fi

clean: ## remove what was built
	$(CARGO) clean
