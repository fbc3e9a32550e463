#!/usr/bin/env python3
"""A year of scheduled backups: what happens on which day, and what must be there after each run.

    rescue-year.py plan DAYS             the steps of contrib/rescue-year.sh, a line for each
    rescue-year.py check PLAN CONSOLE    holds what that said of each place against what follows from
                                         buttersink.conf(5)

What must be there follows from the man page, the steps and the two policies below, and from nothing that the
program prints. Local time is that of this machine's rules for Berlin.
"""
import datetime
import re
import sys
from zoneinfo import ZoneInfo

ZONE, UTC = ZoneInfo("Europe/Berlin"), datetime.timezone.utc
BEGIN = datetime.datetime(2025, 1, 1, 12, 0, tzinfo=ZONE)
# The first day of each, and how many days it lasts. Both changes of the clocks, 30 March and 26 October, are in one.
AWAY = {"disk": [(82, 20), (200, 45)], "far": [(150, 12), (290, 12)], "stick": [(240, 30)],
        "bucket": [(5, 4), (100, 25)]}
CHANGES = [datetime.datetime(2025, 3, 30, 1, 0, tzinfo=UTC), datetime.datetime(2025, 10, 26, 1, 0, tzinfo=UTC)]
WORDS = {"disk": ("unplug", "plug"), "far": ("down", "up"), "stick": ("fill", "clear"),
         "bucket": ("halt", "start")}


def plan(days):
    """Once a day, at night or in the afternoon; around the changes of the clocks twice an hour."""
    steps = []
    for name, times in AWAY.items():
        for first, length in times:
            for at, word in zip((first, first + length), WORDS[name]):
                when = BEGIN + datetime.timedelta(days=at)
                steps.append((when.timestamp(), f"{word} {name}"))
    for day in range(days):
        date = BEGIN.date() + datetime.timedelta(days=day)
        hour, minute = (3, 10) if day % 3 == 2 else (15, 10 + day % 40)
        at = datetime.datetime(date.year, date.month, date.day, hour, minute, tzinfo=ZONE)
        steps.append((at.timestamp(), "tick"))
    for change in CHANGES:
        for half in range(-4, 6):
            steps.append((change.timestamp() + half * 1800 + 420, "tick"))
    last = (BEGIN + datetime.timedelta(days=days)).timestamp()
    return [(int(at), what) for at, what in sorted(steps) if at < last]


def local(stamp):
    return datetime.datetime.fromtimestamp(stamp, ZONE)


def period(unit, stamp):
    """The hour, day, week, month or year that a time is in, by the calendar on the wall."""
    wall = local(stamp).replace(tzinfo=None)
    day = wall.date()
    return {
        "h": (day, wall.hour),
        "d": day,
        "w": day - datetime.timedelta(days=day.weekday()),
        "m": (day.year, day.month),
        "y": day.year,
    }[unit]


def after(stamp, every, at):
    """When there is to be another. A time that the clocks skip is the hour after, one that comes twice the first."""
    count, unit = int(every[:-1]), every[-1]
    if unit == "h":
        return stamp - stamp % 3600 + count * 3600
    day = local(stamp).date() + datetime.timedelta(days=count * {"d": 1, "w": 7}[unit])
    wall = datetime.datetime(day.year, day.month, day.day, *at, tzinfo=ZONE)
    return wall.timestamp()


def judged(stamps, keep, first=False):
    """Those that a policy keeps: one of each of so many periods that have any, and the newest."""
    newest = sorted(stamps, reverse=True)
    stays = set(newest[:1])
    for word in keep.split():
        one_of = {}
        for stamp in newest:
            key = period(word[-1], stamp)
            if first or key not in one_of:
                one_of[key] = stamp
        stays |= set(list(one_of.values())[: int(word[:-1])])
    return stays


class Place:
    """Where snapshots of one subvolume are."""

    def __init__(self, name, keep, every=None, at=(2, 0), first=False, streams=False):
        self.name, self.keep, self.every, self.at = name, keep, every, at
        self.first, self.streams = first, streams
        self.have, self.owed, self.last = set(), False, None
        self.parents = {}

    def is_due(self, now, new):
        if self.every is None:
            return new or self.owed
        return self.owed or self.last is None or now >= after(self.last, self.every, self.at)

    def prune(self, pinned):
        stays = judged(self.have, self.keep, self.first) | (pinned & self.have)
        if self.streams:  # and what those are made from
            more = set(stays)
            while more:
                more = {self.parents.get(one) for one in more} - stays - {None}
                stays |= more
        self.have = stays


class Subvolume:
    """One subvolume, its schedule, and where its snapshots go."""

    def __init__(self, name, config, every, at, keep, places):
        self.name, self.config, self.every, self.at = name, config, every, at
        self.here, self.places = Place("here", keep), places

    def tick(self, now, away):
        """Whether all that was to be done was."""
        made = self.here.have
        new = not made or now >= after(max(made), self.every, self.at)
        targets = [place for place in self.places if place.is_due(now, new)]
        if new:
            made.add(now)
        if not new and not targets:
            return True
        newest = max(made)
        for place in targets:
            place.owed = place.name.split("-")[0] in away
            if place.owed:
                continue
            common = max(made & place.have, default=None)
            missing = {one for one in made if common is not None and one > common}
            place.have |= {newest} if place.every else missing | {newest}
            place.last = now
            place.prune({newest})
        if not any(place.owed or place.last is None for place in self.places):
            self.here.prune({max(place.have) for place in self.places})
        return not any(place.owed for place in targets)


def subvolumes():
    """As contrib/rescue-year.sh has it in /etc/machine.toml and /etc/mail.toml."""
    disk, far = "7d 4w 12m", "4w 12m"
    return [
        Subvolume("root", "machine", "1d", (2, 30), "24h 7d 4w",
                  [Place("disk", disk), Place("far", far, "1w", (12, 0))]),
        Subvolume("home", "machine", "1h", (2, 0), "12h 5d",
                  [Place("disk", disk), Place("far", far, "1w", (12, 0))]),
        Subvolume("mail", "mail", "1d", (2, 0), "3d",
                  [Place("stick", "5d 3w 6m", streams=True), Place("far-mail", "3d 3m 1y", "3d", (4, 0), first=True),
                   Place("bucket", "4d 3w 3m", "2d", (5, 0), streams=True)]),
    ]


def stamp_of(name):
    """Whose snapshot it is, and when it was made, as its name says."""
    found = re.fullmatch(r"(\w+)__(\d{8}T\d{6}Z)__(?:full|inc\w*)", name)
    at = datetime.datetime.strptime(found[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return found[1], int(at.timestamp())


class Check:
    """Reads the console of the machine beside the steps."""

    def __init__(self):
        self.all, self.away, self.now = subvolumes(), set(), 0
        self.there = {}  # what is at a place: names, by place and subvolume
        self.ticks = []  # when runs were, to find which one a name is of
        self.wrong, self.compared = [], 0

    def tick_of(self, stamp):
        """The run that a name is of: the clock goes on during it."""
        return max((tick for tick in self.ticks if tick <= stamp), default=None)

    def say(self, words):
        self.wrong.append(f"{local(self.now):%F %T %Z}: {words}")

    def line(self, words):
        kind, rest = words[0], words[1:]
        if kind == "tick":
            self.now = int(rest[0])
            self.ticks.append(self.now)
            self.went = {config: 0 for config in ("machine", "mail")}
        elif kind == "exit":
            self.went[rest[0]] = int(rest[1])
        elif kind in ("+", "-"):
            place, name = rest
            name, _, stream = name.partition("/")
            of, stamp = stamp_of(name)
            there = self.there.setdefault((place, of), {})
            if kind == "-":
                there.pop(self.tick_of(stamp), None)
            else:
                there[self.tick_of(stamp)] = stream
        elif kind == "done":
            self.compare()
        elif kind in sum(WORDS.values(), ()):
            (self.away.add if kind in ("unplug", "down", "fill", "halt") else self.away.discard)(rest[0])
        elif kind == "content":
            place, name, text = rest
            if self.tick_of(stamp_of(name)[1]) != int(text):
                self.say(f"{place}: {name} has what was written at {text}")
            self.contents = getattr(self, "contents", 0) + 1

    def compare(self):
        fine = {"machine": True, "mail": True}
        for subvolume in self.all:
            for place in subvolume.places:
                if place.streams:
                    self.read_parents(subvolume, place)
            fine[subvolume.config] &= subvolume.tick(self.now, self.away)
            for place in [subvolume.here, *subvolume.places]:
                self.one_place(subvolume, place)
        for config, status in self.went.items():
            if (status == 0) != fine[config]:
                self.say(f"{config}: the run ended with {status}")

    def read_parents(self, subvolume, place):
        """What each stream there is made from, by the UUIDs in their names."""
        streams = self.there.get((place.name, subvolume.name), {})
        ids = {stream.partition("_")[0]: tick for tick, stream in streams.items()}
        for tick, stream in streams.items():
            place.parents[tick] = ids.get(stream.partition("_")[2])

    def one_place(self, subvolume, place):
        if place.name in self.away and place.name == "disk":
            return  # nobody sees it
        there = set(self.there.get((place.name, subvolume.name), {}))
        self.compared += 1
        shown = lambda stamps: ", ".join(f"{local(one):%F %T}" for one in sorted(stamps))
        if there - place.have:
            self.say(f"{subvolume.name} at {place.name}: too many: {shown(there - place.have)}")
        if place.have - there:
            self.say(f"{subvolume.name} at {place.name}: missing: {shown(place.have - there)}")


def check(steps, console):
    """Every step must have been taken, and every place be as it must after each."""
    check, taken = Check(), []
    for line in open(console, errors="replace"):
        words = line.rstrip("\r\n").split(" ")
        if words[0] == "year":
            check.line(words[1:])
            if words[1] == "tick":
                taken.append(int(words[2]))
    wanted = [int(line.split()[0]) for line in open(steps) if line.split()[1] == "tick"]
    if taken != wanted:
        check.say(f"{len(taken)} runs of {len(wanted)}")
    if not getattr(check, "contents", 0):
        check.say("nothing was read at the end")
    for words in check.wrong[:40]:
        print(words)
    kept = sum(len(names) for names in check.there.values())
    print(f"year: {len(taken)} runs, {check.compared} comparisons, {kept} snapshots at the end, "
          f"{getattr(check, 'contents', 0)} of them read; {len(check.wrong)} of them wrong")
    return bool(check.wrong)


if __name__ == "__main__":
    if sys.argv[1] == "plan":
        for at, what in plan(int(sys.argv[2])):
            print(at, what)
    else:
        sys.exit(check(*sys.argv[2:]))
