# One door: what a person, CI and a release run. `make help` lists the targets.

CARGO   ?= cargo
INSTALL ?= install
DESTDIR ?=
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
LOGROTATEDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)/logrotate.d
EXAMPLEDIR ?= $(PREFIX)/share/doc/buttersink/examples

# What --version calls the sources; empty for a build without git. A package of somebody else sets it.
BUTTERSINK_COMMIT ?= $(shell git --git-dir=.git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)
export BUTTERSINK_COMMIT

BUILT    := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := $(basename $(notdir $(wildcard src/bin/*.rs)))
BINARIES := $(PROGRAMS:%=$(BUILT)/release/%)
STATIC   := $(PROGRAMS:%=$(BUILT)/static/%)
SOURCES  := $(shell find src -name '*.rs') Cargo.toml Cargo.lock
PAGES    := $(wildcard man/*.[1-8])
UNITS    := $(wildcard contrib/systemd/*.service contrib/systemd/*.timer)

# What `make install` installs: $(BUILT)/static has the ones without shared libraries.
FROM ?= $(BUILT)/release

# With LINKS=yes, names by which programs that came before are called.
OLD := btrfs_to_s3 btrfs-backup.py buttersink.py

# Every file that is installed, and where it comes from.
page_to   = $(MANDIR)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))
FILES    := $(foreach p,$(PROGRAMS),$(FROM)/$(p)=$(BINDIR)/$(p)) \
            $(foreach p,$(PAGES),$(p)=$(call page_to,$(p))) \
            $(foreach p,$(PROGRAMS),contrib/completions/buttersink.bash=$(BASHDIR)/$(p)) \
            contrib/completions/_buttersink=$(ZSHDIR)/_buttersink \
            $(foreach p,$(PROGRAMS),contrib/completions/$(p).fish=$(FISHDIR)/$(p).fish) \
            $(foreach u,$(UNITS),$(u)=$(SYSTEMDUNITDIR)/$(notdir $(u))) \
            contrib/systemd/buttersink.tmpfiles=$(TMPFILESDIR)/buttersink.conf \
            contrib/buttersink.logrotate=$(LOGROTATEDIR)/buttersink \
            contrib/config.example.toml=$(EXAMPLEDIR)/config.toml

.DEFAULT_GOAL := all
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help all demo setup check fmt lint test torture fuzz bench install uninstall static rescue-test \
        torture-rescue year-test dist deb reproducible clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 16

all: $(BINARIES) ## release builds of the programs

# Nothing is built when nothing changed, so `sudo make install` after `make` needs no cargo.
$(BINARIES) &: $(SOURCES)
	$(CARGO) build --release --locked --bins
	@touch $(BINARIES)

demo: $(BINARIES) ## two scratch filesystems, a synchronisation, and both sides compared (root)
	@contrib/demo.sh '$(BUILT)/release'

setup: ## install what demo, check and bench need and the machine lacks (root)
	@contrib/setup.sh

check: ## everything that must hold: format, lints, documentation, tests, man pages
	@contrib/check.sh

fmt: ## format the sources
	$(CARGO) fmt

lint: ## the compiler's and clippy's opinion
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

test: ## unit, documentation and integration tests
	$(CARGO) test --locked

# BUTTERSINK_TORTURE_MINUTES is how long (10), BUTTERSINK_TORTURE_SEED where to begin. What fails is
# made small, and printed with the command that shows it again. Half of the time is for soaks.
torture: ## random histories of snapshots, and of destinations that are shared, for some minutes (root)
	$(CARGO) test --locked --test it -- --torture

fuzz: ## new bytes for what reads foreign ones; TARGET=xml for one, MINUTES=20 for longer than 1 each
	@contrib/fuzz.sh '$(MINUTES)' $(TARGET)

# What each benchmark measured is a row of $(BUILT)/figures.md at the end.
bench: export BUTTERSINK_FIGURES := $(abspath $(BUILT))/figures.tsv
bench: $(BINARIES) ## figures beside those of other tools, in one table; ARGS=--quick for a glance (root)
	@contrib/setup.sh
	@contrib/setup.sh bench || echo 'bench: going on with what is there' >&2
	rm -f '$(BUTTERSINK_FIGURES)'
	python3 benches/local.py --programs '$(BUILT)/release' --scratch '$(BUILT)/bench' $(ARGS)
	python3 benches/remote.py --programs '$(BUILT)/release' --scratch '$(BUILT)/bench' $(ARGS)
	python3 benches/s3.py --programs '$(BUILT)/release' --scratch '$(BUILT)/bench' $(ARGS)
	python3 benches/startup.py --programs '$(BUILT)/release' --static '$(BUILT)/static' $(filter --quick,$(ARGS))
	$(CARGO) bench --locked --bench frames --bench plans
	python3 benches/checksum.py --programs '$(BUILT)/release' --scratch '$(BUILT)/bench' $(filter --quick,$(ARGS))
	python3 benches/table.py '$(BUTTERSINK_FIGURES)' | tee '$(BUILT)/figures.md'

install: $(PROGRAMS:%=$(FROM)/%) ## programs, man pages, completions, units below $(DESTDIR)$(PREFIX); LINKS=yes for old names
	@for file in $(FILES); do \
	    mode=644; case $$file in '$(FROM)'/*) mode=755;; esac; \
	    $(INSTALL) -D -m $$mode "$${file%%=*}" "$(DESTDIR)$${file#*=}" || exit; \
	    echo "$(DESTDIR)$${file#*=}"; \
	done
	@[ '$(LINKS)' != yes ] || for name in $(OLD); do \
	    ln -sf buttersink "$(DESTDIR)$(BINDIR)/$$name" || exit; \
	    echo "$(DESTDIR)$(BINDIR)/$$name"; \
	done

# Directories that became empty go only below DESTDIR: elsewhere they may be the system's.
uninstall: ## remove what install put there
	@for file in $(FILES); do rm -f "$(DESTDIR)$${file#*=}"; done
	@for name in $(OLD); do \
	    link="$(DESTDIR)$(BINDIR)/$$name"; \
	    if [ "$$(readlink "$$link")" = buttersink ]; then rm -f "$$link"; fi; \
	done
	@[ -z '$(DESTDIR)' ] || [ ! -d '$(DESTDIR)' ] || find '$(DESTDIR)' -depth -type d -empty -delete

static: $(STATIC) ## programs without shared libraries, in target/static

$(STATIC) &: $(SOURCES) contrib/static.sh contrib/static-test.sh contrib/unwind-musl.c
	contrib/static.sh
	@touch $(STATIC)

rescue-test: $(STATIC) ## a virtual machine loses its disk and gets its system back
	contrib/rescue-test.sh

torture-rescue: $(STATIC) ## months of backups in such a machine, by its clock, and histories on its kernel
	RESCUE_TORTURE=$${BUTTERSINK_TORTURE_MINUTES:-10} contrib/rescue-test.sh

# RESCUE_YEAR=30 for fewer days.
year-test: $(STATIC) ## a year of scheduled backups in such a machine, by its clock: what policies promise is there, no more
	RESCUE_YEAR=$${RESCUE_YEAR:-365} contrib/rescue-test.sh

dist: $(STATIC) ## static programs, man pages, completions and checksums as a tar file
	contrib/dist.sh

deb: $(STATIC) ## the same as a Debian package
	contrib/deb.sh

reproducible: ## build static programs, tar file and package twice, in two directories, and compare their bytes
	@contrib/reproducible.sh

clean: ## remove what was built
	$(CARGO) clean
