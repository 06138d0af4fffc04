#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Black-box tests of the samara tool. Usage: tool.py SAMARA SOURCE_ROOT [unittest's arguments]

Every trace in traces/, and in the folder that SAMARA_TRACES names, is replayed. SAMARA_TEST_SCALE is how
much to do in per cent (100 unless set): sanitizers are slow."""

import glob
import json
import lzma
import os
import pty
import re
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

# If built for another machine, it runs in the wrapper that meson found for that.
SAMARA, ROOT = [*shlex.split(os.environ.get("MESON_EXE_WRAPPER", "")), sys.argv[1]], sys.argv[2]
HERE = os.path.join(ROOT, "tests", "regress")
SCALE = int(os.environ.get("SAMARA_TEST_SCALE", "100"))
HEADER = "# samara-trace 1\n# source: test\n# page: 1000\n# va: 0-ffffffffffffffff\n"
KINDS = ["streaming", "fragment", "churn", "overlap"]
# The names that C libraries have for it.
NO_MEMORY = "(Cannot allocate|Out of) memory"
# What does not fit into an address space where only this is mapped, up to the last possible offset.
MAPPED = "map 1000 2000 1 ffffffffffffe000 rp\n# comment\n"
MISFITS = [("load 5000", "looks up an address that is not mapped"),
           ("protect 1000 3000 p", "protects a range that is not wholly mapped"),
           ("protect 1000 3000 s", "protects a range that is not wholly mapped"),
           ("protect 2000 1000 rws", "protects with another s, p or g than what is mapped has"),
           ("protect 1000 2000 rpg", "protects with another s, p or g than what is mapped has"),
           ("move 5000 1000 8000 1000", "moves a range in which nothing is mapped"),
           ("move 5000 1000 5000 1000", "moves a range in which nothing is mapped"),
           ("move 5000 2000 5000 1000", "moves a range in which nothing is mapped"),
           ("move 5000 1000 5000 2000", "moves a range in which nothing is mapped"),
           ("move 2000 2000 8000 3000", "grows a range whose end is not mapped"),
           ("move 2000 2000 2000 3000", "grows a range whose end is not mapped"),
           ("move 1000 1000 1000 2000", "grows into what is mapped already"),
           ("move 2000 1000 2000 2000", "grows to where the offset goes beyond 64 bits"),
           ("move 1000 2000 8000 3000", "grows to where the offset goes beyond 64 bits")]


def run(*args, stdin="", binary=False, timeout=600, room=None):
    """@room: bytes of address space that there shall be."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([*SAMARA, *args], input=data, capture_output=True, timeout=timeout,
                          preexec_fn=room and (lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room))))
    if not binary:
        done.stdout = done.stdout.decode()
    done.stderr = done.stderr.decode()
    return done


def traces_in(folder):
    """The smallest first."""
    return sorted(glob.glob(os.path.join(folder, "*.trace.xz")), key=os.path.getsize)


def traces():
    bundled, more = os.path.join(ROOT, "traces"), os.environ.get("SAMARA_TRACES")
    return traces_in(bundled) + (traces_in(more) if more else [])


def sample(cases):
    """All of them, or every fifth where tests are to be short."""
    return cases if SCALE >= 100 else cases[::5]


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="samara-tool-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w") as out:
                out.write(text)
        return path

    def files(self, before, lines):
        """Files in each of which one of the lines follows what comes before."""
        return [self.path(f"t{i}", before + line + "\n") for i, line in enumerate(lines)]

    def misfits(self):
        """All of them, a file each, and what is said of these when they are replayed."""
        paths = self.files(HEADER + MAPPED, [line for line, _ in MISFITS])
        return paths, "".join(f"{path}:7: {why}\n" for path, (_, why) in zip(paths, MISFITS))

    def needs_exact_memory(self):
        if not os.environ.get("SAMARA_BROKEN_MODULE"):
            self.skipTest("a sanitizer or an emulator takes memory of its own")

    def ok(self, *args, **kwargs):
        done = run(*args, **kwargs)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stderr}")
        return done

    def fails(self, status, message, *args, **kwargs):
        done = run(*args, **kwargs)
        self.assertEqual(done.returncode, status, f"{args}: {done.stderr}")
        self.assertIn(message, done.stderr)
        return done


class Replay(ToolTest):
    def test_final_states(self):
        """Each trace leads to its final state, byte for byte, with readers beside the writer."""
        self.assertTrue(traces())
        for path in sample(traces()):
            with self.subTest(path):
                final = path.replace(".trace.xz", ".final.xz")
                out = self.path("final")
                self.ok("replay", "--check=final", "--readers=2", f"--dump-final={out}",
                        f"--expect-final={final}", path)
                with open(out, "rb") as is_final:
                    self.assertEqual(is_final.read(), lzma.open(final).read())

    def test_every_operation(self):
        for path in sample(traces_in(os.path.join(ROOT, "traces"))):
            for mode in ["--rcu", "--no-rcu"] if SCALE >= 100 else ["--rcu"]:
                with self.subTest(path=path, mode=mode):
                    self.ok("replay", "--check=every", mode, path)

    def test_readers_without_rcu(self):
        trace = self.ok("gen", "--kind=overlap", "--ops=2000", "--live=200").stdout
        done = self.ok("replay", "--no-rcu", "--readers=2", "-", stdin=trace)
        self.assertIn("every answer true", done.stdout)

    def test_json(self):
        path, begin = traces()[0], time.monotonic()
        done = self.ok("replay", "--json", "--readers=1", "--seed=7", "--repeat=2", "--check=1000", path,
                       path)
        taken = time.monotonic() - begin
        document = json.loads(done.stdout)
        self.assertTrue(document["ok"])
        self.assertEqual(len(document["replays"]), 2)
        replay = document["replays"][0]
        self.assertEqual(replay["file"], path)
        self.assertEqual(replay["repeats"], 2)
        self.assertEqual(replay["check"], "1000")
        verbs = replay["verbs"]
        self.assertEqual(replay["operations"], sum(verbs.values()) - verbs["load"])
        self.assertGreater(replay["rate"], 0)
        self.assertLess(0, replay["seconds"])
        self.assertLess(sum(replay["wall_seconds"] for replay in document["replays"]), taken)
        self.assertGreater(replay["reader_lookups"], 0)
        self.assertEqual(replay["reader_wrong"], 0)
        self.assertGreaterEqual(replay["peak"], replay["live"])
        self.assertGreaterEqual(replay["live"], replay["runs"])
        self.assertGreater(replay["bytes_per_mapping"], 0)

    FIGURES = ("map 1000 5000 1 0 rp\nunmap 2000 1000\nunmap 4000 1000\nprotect 3000 1000 rwp\nload 3000\n"
               "map 4000 1000 1 3000 rwp\nunmap 1000 1000\nmove 5000 1000 9000 1000\n")

    def test_figures(self):
        for mode in [[]] + VM_MODES[:2]:
            done = self.ok("replay", *mode, "--json", "-", stdin=HEADER + self.FIGURES)
            replay = json.loads(done.stdout)["replays"][0]
            wanted = {"operations": 7, "live": 3, "runs": 2, "peak": 4, "checks": 1,
                      "verbs": {"map": 2, "unmap": 3, "protect": 1, "move": 1, "load": 1}}
            if mode:
                wanted |= {"jobs": 7, "bind_operations": 9}
            self.assertEqual({key: replay[key] for key in wanted}, wanted, mode)

    def test_everything_from_time_to_time(self):
        """All is compared after 8192 operations and at the end, not only what each operation touches."""
        trace = self.path("t", HEADER + "map 1000 1000 0 0 p\n" + "unmap 5000 1000\n" * 8199)
        for mode in [[]] + VM_MODES[:2]:
            done = self.ok("replay", *mode, "--check=every", "--json", trace)
            self.assertEqual(json.loads(done.stdout)["replays"][0]["checks"], 8202, mode)

    def test_json_of_many_runs(self):
        """Times and comparisons are summed over all runs; the other figures are those of the last."""
        trace = self.ok("gen", "--kind=overlap", "--ops=5000", "--live=50").stdout
        once, often = (json.loads(self.ok("replay", "--check=1000", "--json", f"--repeat={runs}", "-",
                                          stdin=trace).stdout)["replays"][0] for runs in (1, 20))
        for key in ["height", "height_max", "live", "runs", "peak", "bytes_per_mapping", "nodes_built"]:
            self.assertEqual(once[key], often[key], key)
        self.assertGreaterEqual(once["height_max"], once["height"])
        self.assertGreater(once["bytes_per_mapping"], 8)
        self.assertEqual((once["checks"], often["checks"]), (5, 100))
        self.assertAlmostEqual(often["rate_mean"] * often["seconds"] / 100000, 1, places=6)
        self.assertGreaterEqual(often["rate"], often["rate_mean"])
        self.assertGreaterEqual(often["wall_seconds"], often["seconds"])

    def test_json_of_failures(self):
        done = self.fails(1, ":5: unknown operation", "replay", "--json", "-", stdin=HEADER + "x\n")
        self.assertFalse(json.loads(done.stdout)["ok"])
        trace = HEADER.replace("test", 'a "quoted" \\ \xe4 source')
        done = self.ok("replay", "--json", "-", stdin=trace)
        self.assertEqual(json.loads(done.stdout)["replays"][0]["source"], 'a "quoted" \\ \xe4 source')

    def test_json_of_any_name(self):
        path = os.path.join(os.fsencode(self.folder), b"a\xff\xc3\t\x1f\xe2\x82z")
        with open(path, "w") as trace:
            trace.write(HEADER)
        done = self.ok("replay", "--json", path)
        self.assertEqual(json.loads(done.stdout)["replays"][0]["file"],
                         self.folder + "/a\ufffd\ufffd\t\x1f\ufffd\ufffdz")

    def test_dump_final_joins_runs(self):
        trace = HEADER + ("map 1000 1000 1 0 rp\nmap 2000 1000 1 1000 rp\nmap 3000 3000 1 5000 rp\n"
                          "protect 4000 1000 rwp\nmap 8000 2000 0 0 p\nmove 9000 1000 a000 3000\n"
                          "map fffffffffffff000 1000 18446744073709551615 0 rwxsg\n")
        done = self.ok("replay", "--dump-final=-", "-", stdin=trace)
        self.assertTrue(done.stdout.startswith(
            "1000 2000 1 0 rp\n3000 1000 1 5000 rp\n4000 1000 1 6000 rwp\n5000 1000 1 7000 rp\n"
            "8000 1000 0 0 p\na000 3000 0 0 p\n"
            "fffffffffffff000 1000 18446744073709551615 0 rwxsg\n"), done.stdout)

    def test_dump_final_packed(self):
        trace = self.path("t", HEADER + "map 1000 1000 0 0 p\n")
        for mode in [[]] + VM_MODES[:2]:
            out = self.path("final.xz")
            self.ok("replay", *mode, f"--dump-final={out}", trace)
            self.assertEqual(lzma.open(out).read(), b"1000 1000 0 0 p\n")
            self.ok("replay", *mode, f"--expect-final={out}", trace)
        self.fails(1, "/nowhere/x.xz: No such file", "replay", "--dump-final=/nowhere/x.xz", trace)

    def test_expect_final(self):
        trace = self.path("t", HEADER + "map 1000 1000 0 0 p\nmap 3000 1000 0 0 p\n")
        for text, message in [
                ("1000 1000 0 0 p\n", ":2: expected 'the end', the tree has '3000 1000 0 0 p'"),
                ("1000 1000 0 0 p\n4000 1000 0 0 p\n",
                 ":2: expected '4000 1000 0 0 p', the tree has '3000 1000 0 0 p'"),
                ("1000 1000 0 0 p\n3000 1000 0 0 p\n5000 1000 0 0 p\n",
                 ":3: expected '5000 1000 0 0 p', the tree has 'no more'")]:
            expected = self.path("e", text)
            self.fails(1, expected + message, "replay", f"--expect-final={expected}", trace)
            self.fails(1, "<stdin>" + message, "replay", "--expect-final=-", trace, stdin=text)

    def test_final_states_that_cannot_be_read(self):
        trace = self.path("t", HEADER + "map 1000 1000 0 0 p\n")
        self.fails(1, "/nowhere/x: No such file", "replay", "--expect-final=/nowhere/x", trace)
        self.fails(1, "<stdin>:1: the compressed data ends too early", "replay", "--expect-final=-", trace,
                   stdin=lzma.compress(b"1000 1000 0 0 p\n")[:30])
        self.fails(1, "<stdin>:1: the last line does not end in a line feed", "replay", "--expect-final=-",
                   trace, stdin="1000 1000 0 0 p")

    def test_final_state_of_many_runs(self):
        """It is written, and read, once."""
        trace, final = self.path("t", HEADER + "map 1000 1000 0 0 p\n"), "1000 1000 0 0 p\n"
        for mode in [[]] + VM_MODES[:2]:
            done = self.ok("replay", *mode, "--repeat=3", "--dump-final=-", trace)
            self.assertEqual(done.stdout.count(final), 1)
            self.ok("replay", *mode, "--repeat=3", "--expect-final=-", trace, stdin=final)

    def test_empty_trace(self):
        self.ok("replay", "--check=every", "-", stdin=HEADER)
        done = self.ok("replay", "--check=every", "--readers=2", "-", stdin=HEADER)
        self.assertRegex(done.stdout, r"\n  readers     2: [1-9]\d* look-ups and 0 mappings walked")

    def test_misfits_name_the_line(self):
        """What the format allows but the address space does not, with and without the model."""
        paths, said = self.misfits()
        for check in ["none", "every"]:
            done = run("replay", f"--check={check}", *paths)
            self.assertEqual((done.returncode, done.stderr), (1, said), check)

    def test_moves_in_place(self):
        """All of the old range need not be mapped, unless it grows."""
        trace = HEADER + ("map 1000 2000 0 0 p\nmove 1000 3000 1000 3000\nmove 1000 4000 1000 3000\n"
                          "move 2000 1000 2000 2000\n")
        for mode in [[]] + VM_MODES[:2]:
            done = self.ok("replay", *mode, "--check=every", "--dump-final=-", "-", stdin=trace)
            self.assertTrue(done.stdout.startswith("1000 3000 0 0 p\n"), done.stdout)

    def test_malformed_files(self):
        text = HEADER + "map 1000 1000 0 0 p\nmap 1001 1000 0 0 p\n"
        plain = self.path("plain", text)
        self.fails(1, f"{plain}:6: not a multiple of the page size", "replay", plain)
        self.fails(1, "<stdin>:6: not a multiple of the page size", "replay", "-", stdin=text)
        self.fails(1, "<stdin>:6: not a multiple of the page size", "replay", "-",
                   stdin=lzma.compress(text.encode()))
        good = lzma.compress((HEADER + "load 0\n" * 20000).encode())
        self.fails(1, "the compressed data ends too early", "replay", "-", stdin=good[:-20])
        flags = b"\0\x14"  # the upper half is for later versions of xz
        self.fails(1, "<stdin>:1: the compressed data uses unsupported options", "replay", "-",
                   stdin=good[:6] + flags + zlib.crc32(flags).to_bytes(4, "little") + good[12:])
        self.fails(1, "no-such-file: No such file or directory", "replay", "no-such-file")
        self.fails(1, "<stdin>:1: not a samara trace", "replay", "-", stdin=bytes(range(128, 227)) + b"\n")

    def test_input_in_pieces(self):
        """However little each read brings, a byte at least."""
        final = "1000 1000 0 0 p\n"
        for trace in [HEADER + "map 1000 1000 0 0 p\n", lzma.compress((HEADER + "map 1000 1000 0 0 p\n").encode())]:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                with ours:
                    for byte in trace if isinstance(trace, bytes) else trace.encode():
                        ours.send(bytes([byte]))
                done = subprocess.run([*SAMARA, "replay", "--dump-final=-", "-"], stdin=theirs, capture_output=True)
            self.assertEqual((done.returncode, done.stdout.decode()[:len(final)]), (0, final), done.stderr)

    def test_long_names(self):
        """However long: the message has all of it, unless no file can be called so, and the reason."""
        long = self.folder + "/." * 1900 + "/x"
        beyond = "x" * 5000
        for args in [["replay"], ["dump"], ["import"], ["gen", "--output"]]:
            self.fails(1, f"{long}/y: No such file", *args, long + "/y")
            self.assertRegex(self.fails(1, "xxx: File", *args, beyond).stderr, r"xxx: File ?name too long\n$")
        for text, message in [("", ":1: the file is empty"), (HEADER + "bad\n", ":5: unknown operation")]:
            self.path("x", text)
            for command in ["replay", "dump"]:
                self.fails(1, long + message, command, long)

    def test_one_bad_file_does_not_hide_the_others(self):
        good = self.path("good", HEADER + "map 1000 1000 0 0 p\n")
        done = self.fails(1, "nothing-here", "replay", "nothing-here", good)
        self.assertIn(good, done.stdout)

    def test_short_of_memory(self):
        """It is said where there is not enough, and nothing aborts."""
        self.needs_exact_memory()
        trace, final = self.path("t"), self.path("final")
        self.ok("gen", "--kind=churn", "--ops=40000", f"--output={trace}")
        with open(trace, "a") as text:  # what is printed of these is long
            text.writelines(f"map {0x500000000000 + i * 4096:x} 1000 {2**64 - 1 - i} fffffffffffff000 rwxp\n"
                            for i in range(32000))
        statuses, finals = set(), set()
        for room in range(4, 96, 4):
            done = run("replay", "--check=none", f"--dump-final={final}", trace, room=room << 20)
            if done.returncode == 127:  # nor for the libraries
                continue
            statuses.add(done.returncode)
            if done.returncode:
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, rf": {NO_MEMORY}\n$")
            else:
                with open(final) as text:
                    finals.add(text.read())
        self.assertEqual(statuses, {0, 1})
        self.assertEqual(len(finals), 1)

    def test_progress_bar(self):
        """Drawn on a terminal when it takes long, wiped away at the end, never drawn into a file."""
        trace = self.path("t")
        self.ok("gen", "--kind=churn", f"--ops={4000 * SCALE}", f"--output={trace}")
        primary, secondary = pty.openpty()
        seen = b""
        with subprocess.Popen([*SAMARA, "replay", "--check=every", trace], stderr=secondary,
                              stdout=subprocess.DEVNULL) as process:
            os.close(secondary)
            while True:
                try:
                    part = os.read(primary, 4096)
                except OSError:
                    break
                if not part:
                    break
                seen += part
        os.close(primary)
        self.assertEqual(process.returncode, 0)
        if seen:  # a fast machine may be done before the bar appears
            self.assertIn(b"[", seen)
            self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-40:])
        self.assertEqual(self.ok("replay", "--check=every", trace).stderr, "")


VM_MODES = [["--through=gpuvm"], ["--through=queue"],
            ["--through=queue", "--submitters=4", "--in-flight=32"],
            ["--through=queue", "--submitters=2", "--engines=2"]]


class Through(ToolTest):
    """Traces through GPU address spaces."""

    def test_final_states(self):
        for path in sample(traces()):
            final = path.replace(".trace.xz", ".final.xz")
            for mode in VM_MODES[::2]:
                with self.subTest(path=path, mode=mode):
                    self.ok("replay", *mode, f"--expect-final={final}", path)

    def test_every_operation(self):
        path = os.path.join(ROOT, "traces", "postgres-backend.trace.xz")
        for mode in VM_MODES if SCALE >= 100 else VM_MODES[2:]:
            with self.subTest(mode=mode):
                done = self.ok("replay", *mode, "--check=every", "--readers=1", path)
                self.assertIn("every answer true", done.stdout)

    def test_generated(self):
        for kind in KINDS:
            trace = self.ok("gen", f"--kind={kind}", f"--ops={20 * SCALE}", "--live=100").stdout
            for mode in VM_MODES if SCALE >= 100 else VM_MODES[3:]:
                with self.subTest(kind=kind, mode=mode):
                    self.ok("replay", *mode, "--check=every", "-", stdin=trace)

    def test_same_final_state(self):
        """Byte for byte, whatever the trace goes through."""
        trace = self.ok("gen", "--kind=overlap", f"--ops={20 * SCALE}", "--live=300").stdout
        finals = []
        for mode in [[]] + VM_MODES:
            out = self.path("final")
            self.ok("replay", *mode, "--check=none", f"--dump-final={out}", "-", stdin=trace)
            with open(out) as final:
                finals.append(final.read())
        self.assertTrue(finals[0])
        for final in finals[1:]:
            self.assertEqual(final, finals[0])

    def test_one_in_flight(self):
        trace = self.ok("gen", "--kind=overlap", "--ops=500", "--live=50").stdout
        done = self.ok("replay", "--through=queue", "--in-flight=1", "--json", "-", stdin=trace)
        self.assertLessEqual(json.loads(done.stdout)["replays"][0]["jobs_peak"], 1)

    def test_checks_now_and_then(self):
        trace = self.ok("gen", "--kind=overlap", "--ops=500", "--live=50").stdout
        for mode in VM_MODES:
            done = self.ok("replay", *mode, "--check=100", "--json", "-", stdin=trace)
            self.assertGreaterEqual(json.loads(done.stdout)["replays"][0]["checks"], 4)

    def test_without_meter(self):
        trace = self.ok("gen", "--ops=100").stdout
        done = self.ok("replay", "--through=queue", "--no-meter", "--json", "-", stdin=trace)
        replay = json.loads(done.stdout)["replays"][0]
        for key in ["sections", "allocations", "system_calls", "futex_calls"]:
            self.assertIsNone(replay[key])

    def test_json(self):
        path = traces()[0]
        done = self.ok("replay", "--through=queue", "--submitters=2", "--engines=1", "--in-flight=16",
                       "--readers=1", "--json", path)
        replay = json.loads(done.stdout)["replays"][0]
        self.assertEqual(replay["through"], "queue")
        self.assertEqual([replay[key] for key in ("submitters", "engines", "in_flight")], [2, 1, 16])
        self.assertEqual(replay["jobs"], replay["operations"])
        self.assertEqual(replay["sections"], replay["jobs"])
        for key in ("submit_ns", "run_ns", "finish_ns"):
            self.assertEqual(replay[key]["count"], replay["jobs"])
            values = [replay[key][at] for at in ("p50", "p90", "p99", "p99.9", "max")]
            self.assertEqual(values, sorted(values))
            self.assertGreater(values[0], 0)
            self.assertLessEqual(values[-1], replay["wall_seconds"] * 1e9)
        self.assertNotEqual(replay["submit_ns"], replay["finish_ns"])
        self.assertGreater(replay["jobs_peak"], 0)
        self.assertGreater(replay["bytes_peak"], 0)
        self.assertIn(replay["allocations"], [0, None])
        self.assertIn(replay["system_calls"], [0, None])
        self.assertGreater(replay["engine_tasks"], 0)
        self.assertGreater(replay["engine_bytes"], 0)
        self.assertGreater(replay["engine_refused"], 0)
        self.assertEqual(replay["reader_wrong"], 0)
        self.assertNotIn("height", replay)
        replay = json.loads(self.ok("replay", "--through=gpuvm", "--json", path).stdout)["replays"][0]
        self.assertEqual(replay["through"], "gpuvm")
        self.assertEqual(replay["run_ns"]["count"], replay["operations"])
        self.assertNotIn("submit_ns", replay)

    def test_json_of_many_runs(self):
        """Times and what readers did are added up; what was done is the last run's."""
        trace = self.ok("gen", "--ops=500").stdout
        once, thrice = (json.loads(self.ok("replay", "--through=queue", "--engines=1", "--json",
                                           f"--repeat={runs}", "-", stdin=trace).stdout)["replays"][0]
                        for runs in (1, 3))
        for key in ("jobs", "sections", "engine_tasks", "engine_bytes", "engine_refused"):
            self.assertEqual(once[key], thrice[key], key)
        for key in ("submit_ns", "run_ns", "finish_ns"):
            self.assertEqual(thrice[key]["count"], 3 * once["jobs"])

    def test_text(self):
        trace = self.ok("gen", "--ops=500").stdout
        done = self.ok("replay", "--through=queue", "--submitters=2", "-", stdin=trace)
        for part in ["2 queues, at most 64 in flight", "p99.9", "  submit ", "  run ", "  finish ",
                     "waited for a grace period", "system calls"]:
            self.assertIn(part, done.stdout)

    def test_empty_trace(self):
        for mode in VM_MODES[:3]:
            self.ok("replay", *mode, "--check=every", "--readers=1", "-", stdin=HEADER)

    def test_misfits_name_the_line(self):
        paths, said = self.misfits()
        paths.append(self.path("t", HEADER + "map 1000 2000 0 0 rp\nunmap fffffffffffff000 1000\n"))
        said += f"{paths[-1]}:6: the last byte of the 64-bit address space cannot be mapped in a VM\n"
        for mode in VM_MODES[:3]:
            done = run("replay", *mode, *paths)
            self.assertEqual((done.returncode, done.stderr), (1, said), mode)

    def test_no_engines(self):
        """The default may be asked for."""
        for mode in VM_MODES[:3]:
            done = self.ok("replay", *mode, "--engines=0", "-", stdin=HEADER + "map 1000 1000 0 0 rp\n")
            self.assertNotIn("engines", done.stdout)

    def test_traces_beyond_the_software_gpu(self):
        """Whether one is, its header says."""
        for page, limits, fits in [(0x1000, "1000-ffffffffffff", True), (0x4000, "4000-7fff", True),
                                   (0x800, "1000-ffff", False), (0x1000, "0-ffff", False),
                                   (0x1000, "1000-1000000000fff", False)]:
            trace = f"# samara-trace 1\n# source: test\n# page: {page:x}\n# va: {limits}\n"
            done = run("replay", *VM_MODES[3], "-", stdin=trace)
            wanted = ("" if fits else "samara: <stdin>: for engines the header's page must be a multiple of 4 KiB, "
                      "and its va within 1000-ffffffffffff\n")
            self.assertEqual((done.returncode, done.stderr), (not fits, wanted))

    def test_offsets_beyond_the_software_gpu(self):
        header = HEADER.replace("va: 0-ffffffffffffffff", "va: 1000-fffffff")
        good = "map 1000 1000 1 fffffffff000 rs\n"
        self.ok("replay", *VM_MODES[3], "-", stdin=header + good)
        paths = self.files(header + good, ["map 5000 1000 1 1000000000000 rs", "map 5000 2000 1 fffffffff000 rs",
                                           "map 5000 1000 1 fffffffffffff000 rs", "move 1000 1000 1000 2000",
                                           "move 1000 1000 8000 2000"])
        done = run("replay", *VM_MODES[3], *paths)
        said = [f"{path}:6: maps beyond offset ffffffffffff" for path in paths]
        self.assertEqual(done.returncode, 1)
        self.assertEqual([line[:len(start)] for line, start in zip(done.stderr.splitlines(), said)], said)
        for mode in VM_MODES[:3]:
            self.ok("replay", *mode, *paths)

    def test_expect_final(self):
        trace = self.path("t", HEADER + "map 1000 1000 0 0 p\nmap 3000 1000 0 0 p\n")
        expected = self.path("e", "1000 1000 0 0 p\n")
        for mode in VM_MODES[:3]:
            self.fails(1, expected + ":2: expected 'the end', the VM has '3000 1000 0 0 p'", "replay",
                       *mode, f"--expect-final={expected}", trace)


class Broken(ToolTest):
    """A tree or a VM that errs must not get past the checks."""

    def broken(self, how, *args, loads=False, kind="churn"):
        module = os.environ.get("SAMARA_BROKEN_MODULE")
        if not module:
            self.skipTest("no module to preload in this build")
        trace = self.path("trace")
        if kind == "loads":  # many, after one operation
            self.path("trace", HEADER + "map 1000 1000 0 0 p\n" + "load 1000\n" * 250)
        elif kind == "apart":  # each is mapped once, and stays
            text = HEADER + "".join(f"map {i:x}000 1000 0 0 {'rp'[i % 2:]}\n" for i in range(1, 5000))
            self.path("trace", text)
        else:
            self.ok("gen", f"--kind={kind}", "--ops=20000", "--live=500", f"--output={trace}")
            with open(trace) as text:
                lines = [line for line in text if loads or not line.startswith("load")]
            self.path("trace", "".join(lines))
        env = dict(os.environ, LD_PRELOAD=module, SAMARA_BROKEN=how)
        done = subprocess.run([*SAMARA, "replay", *args, trace], env=env, capture_output=True,
                              text=True, timeout=600)
        return done

    def test_the_module_alone_does_no_harm(self):
        done = self.broken("not at all", "--check=every", "--readers=2")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_readers_see_missing_entries(self):
        done = self.broken("load", "--check=final", "--readers=1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"answers to readers were never true; the first: reader 0: "
                                      r"\w+ had nothing, which was never there")

    def test_readers_see_stale_answers(self):
        done = self.broken("stale", "--check=none", "--readers=1", "--repeat=20")
        self.assertEqual(done.returncode, 1)
        self.assertIn("answers to readers were never true", done.stderr)

    def test_the_model_sees_lost_stores(self):
        done = self.broken("lost", "--check=every")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r":\d+: after this operation the tree has ")
        # If checked only later, a record might already have been freed twice, unless all stay.
        for check in ["100", "final"]:
            done = self.broken("lost", f"--check={check}", kind="apart")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r":\d+: after this operation the tree has ")

    def test_readers_of_a_vm_see_missing_answers(self):
        for mode in VM_MODES[:2]:
            done = self.broken("find", *mode, "--check=final", "--readers=1")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"answers to readers were never true; the first: reader 0: "
                                          r"\w+ had nothing, which was never there")

    def test_readers_of_a_vm_see_the_wrong_mapping(self):
        done = self.broken("other", "--through=gpuvm", "--check=final", "--readers=1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"the first: reader 0: \w+ has the mapping of \w+-\w+$")

    def test_readers_of_a_vm_see_mappings_released_too_early(self):
        done = self.broken("released", "--through=queue", "--check=final", "--readers=1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"the first: reader 0: the mapping at \w+ was freed under the reader's feet$")

    def test_loads_of_a_vm(self):
        for how, kind, found in [("find", "loads", "nothing"),
                                 ("other", "churn", r"object \d+ offset [0-9a-f]+ \w+")]:
            done = self.broken(how, "--through=gpuvm", "--check=none", loads=True, kind=kind)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r":\d+: the VM's answer to this load is wrong")
            done = self.broken(how, "--through=queue", "--check=none", loads=True, kind=kind)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rf":\d+: a load after this operation found {found} at ")

    def test_the_model_sees_what_a_vm_keeps(self):
        for check in ["every", "100", "final"]:
            done = self.broken("kept", "--through=gpuvm", f"--check={check}")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r":\d+: after this operation the VM has ")

    def test_the_model_sees_what_a_queue_drops(self):
        for check in ["every", "100"]:
            for mode in VM_MODES[1:3]:
                done = self.broken("dropped", *mode, f"--check={check}")
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r":\d+: after this operation the VM has ")

    def test_the_checks_see_missing_order(self):
        done = self.broken("unordered", "--through=queue", "--submitters=4", "--in-flight=1000",
                           "--check=every", kind="overlap")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r":\d+: after this operation the VM has ")

    def test_the_engines_see_missing_order(self):
        done = self.broken("unordered", "--through=queue", "--engines=2", "--in-flight=1000",
                           "--check=none", kind="overlap")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r":\d+: after this operation an engine found ")

    def test_jobs_behind_one_that_is_refused(self):
        """They are not done, so readers have nothing to complain of."""
        for _ in range(3):
            done = self.broken("refused", "--through=queue", "--submitters=4", "--in-flight=1000",
                               "--readers=2", "--check=every", "--no-meter")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rf"\A\S+:\d+: cannot submit: {NO_MEMORY}\n\Z")
        done = self.broken("refused", "--through=queue", "--check=none")
        self.assertRegex(done.stderr, rf"\A\S+:5005: cannot submit: {NO_MEMORY}\n\Z")

    def test_waits_that_a_signal_ends(self):
        done = self.broken("disturbed", "--through=queue", "--submitters=2", "--check=100")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_run_sections_that_are_no_signalling_sections(self):
        done = self.broken("outside", "--through=queue")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r": \d+ run sections were no signalling sections\n$")

    def test_allocations_in_run_sections_are_seen(self):
        done = self.broken("heap", "--through=queue", "--check=every")
        if "allocations not counted" in done.stdout:
            self.skipTest("not counted here")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"memory was allocated or freed \d+ times in signalling sections")

    def test_system_calls_in_run_sections_are_seen(self):
        done = self.broken("kernel", "--through=queue", "--check=every")
        if "system calls not counted" in done.stdout:
            self.skipTest("not counted here")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\d+ system calls in run sections; the first: number \d+")


class Gen(ToolTest):
    def test_deterministic(self):
        for kind in KINDS:
            with self.subTest(kind):
                args = ["gen", f"--kind={kind}", "--ops=3000", "--live=300"]
                first = self.ok(*args).stdout
                self.assertEqual(first, self.ok(*args).stdout)
                other = self.ok(*args, "--seed=1").stdout
                self.assertNotEqual(first.split("\n", 4)[4], other.split("\n", 4)[4])
                self.assertIn(f"--kind={kind} --ops=3000 --seed=1 --live=300\n", other)
                self.assertEqual(first.count("\n"), 3004)

    def test_replays_clean(self):
        for kind in KINDS:
            with self.subTest(kind):
                paths = [self.path(f"{seed}.xz") for seed in range(3)]
                for seed, path in enumerate(paths):
                    self.ok("gen", f"--kind={kind}", f"--ops={100 * SCALE}", "--live=1000",
                            f"--seed={seed}", f"--output={path}")
                self.ok("replay", "--check=every", "--readers=2", *paths)

    def test_live(self):
        """As many mappings as the manual page says."""
        for kind, settled in [("streaming", 1000), ("fragment", 1000), ("churn", 1500), ("overlap", 450)]:
            with self.subTest(kind):
                trace = self.ok("gen", f"--kind={kind}", "--ops=20000", "--live=1000").stdout
                done = self.ok("replay", "--json", "-", stdin=trace)
                live = json.loads(done.stdout)["replays"][0]["live"]
                self.assertTrue(0.8 * settled <= live <= 1.25 * settled, live)

    def test_short_of_memory(self):
        """It is not the output's fault."""
        self.needs_exact_memory()
        done = run("gen", "--kind=churn", "--live=10000000", "--ops=4000000", room=48 << 20)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf"^samara: churn: {NO_MEMORY}\n$")

    def test_output(self):
        plain, packed = self.path("a", "x" * 100000), self.path("a.xz")
        self.ok("gen", "--ops=100", f"--output={plain}")
        self.ok("gen", "--ops=100", "--output", packed)
        with open(plain, "rb") as text:
            self.assertEqual(text.read(), lzma.open(packed).read())
        self.fails(1, "/nowhere/x: No such file", "gen", "--output=/nowhere/x")
        self.assertEqual(self.ok("gen", "--ops=0").stdout.count("\n"), 4)


class Import(ToolTest):
    def test_samples(self):
        for log in sorted(glob.glob(os.path.join(HERE, "strace", "*.log"))):
            name = os.path.basename(log)[:-4]
            with self.subTest(name):
                with open(log[:-4] + ".trace") as expected:
                    text = expected.read()
                done = self.ok("import", "--format=strace", f"--source={name}", log)
                self.assertEqual(done.stdout, text)
                self.ok("replay", "--check=every", "-", stdin=text)

    def test_long_log(self):
        """Every call comes into the trace, and every file keeps its number."""
        at = range(0x1000000, 0x1000000 + 3000 * 4096, 4096)
        log = "".join(f"mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</f{i * 7 % 100}>, 0) = {addr:#x}\n"
                      for i, addr in enumerate(at))
        self.imports(log, "".join(f"map {addr:x} 1000 {i % 100 + 1} 0 rs\n" for i, addr in enumerate(at)))

    def sample(self, name, *args):
        done = self.ok("import", *args, os.path.join(HERE, "strace", name))
        return done.stdout.split("\n", 4)[4], done.stderr

    def imports(self, log, operations):
        """The trace of @log has @operations behind its header."""
        done = self.ok("import", "-", stdin=log)
        self.assertEqual(done.stdout.split("\n", 4)[4], operations)
        return done

    def test_deleted_files(self):
        """With -y a file keeps its object when its name is deleted, as far as its number tells."""
        def mapped(*names):
            return "".join(f"mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, {name}, 0) = {i + 1:#x}0000\n"
                           for i, name in enumerate(names))

        def objects(*ids):
            return "".join(f"map {i + 1:x}0000 1000 {which} 0 rs\n" for i, which in enumerate(ids))

        for mark in [">(deleted)", " (deleted)>"]:
            gone = "</a" + mark
            self.imports(mapped("3</a>", "3" + gone, "3" + gone, "4" + gone, "3</ab>", "3" + gone, "3<a" + mark),
                         objects(1, 1, 1, 2, 3, 2, 4))
            self.imports(f'openat(AT_FDCWD</>, "a", O_RDWR) = 3</a> <0.000011>\n'
                         f'openat(AT_FDCWD</>, "../a", O_RDWR) = 4</a>\n'
                         f'memfd_create("b", 0) = 5</memfd:b{mark}\nmemfd_create("b", 0) = 6</memfd:b{mark}\n' +
                         mapped("3</a>", "3" + gone, "4" + gone, "6</memfd:b" + mark, "5</memfd:b" + mark),
                         objects(1, 1, 1, 3, 2))

    def test_copied_numbers_of_named_files(self):
        """With -y a copy of a number that was not seen opened stands for the file of that name."""
        for copy in ["dup(3</a>) = 4</a>", "fcntl(3</a>, F_DUPFD, 4) = 4</a>"]:
            text = copy
            for i, file in enumerate(["3</a>", "4</a>", "3</a>(deleted)", "4</a>(deleted)"]):
                text += f"\nmmap(NULL, 4096, PROT_READ, MAP_SHARED, {file}, 0) = {i + 1:#x}0000"
            self.imports(text + "\n", "".join(f"map {i}0000 1000 1 0 rs\n" for i in range(1, 5)))

    def test_nameless_files_and_copied_numbers(self):
        """Each O_TMPFILE is a file of its own; fcntl(F_DUPFD) gives another number for the same file.

        The later half is what strace -X raw writes."""
        text = ""
        for i, call in enumerate(['openat(AT_FDCWD, "/tmp", O_RDWR|O_TMPFILE, 0600) = 3',
                                  'open("/tmp", 0x410002 /* O_RDWR|O_TMPFILE */, 0600) = 4',
                                  "fcntl(3, F_DUPFD, 10) = 10", "fcntl(10, F_DUPFD_CLOEXEC, 11) = 11",
                                  "fcntl(4, F_GETFD) = 3", 'openat(-100, "/tmp", 0x490002, 0777) = 5',
                                  "fcntl(4, 0, 12) = 12", "fcntl64(5, 0x406 /* F_DUPFD_CLOEXEC */, 13) = 13",
                                  "fcntl(5, 0x1) = 0x3"]):
            number = int(call.split(" = ")[1], 0)
            text += f"{call}\nmmap(NULL, 4096, PROT_READ, MAP_SHARED, {number}, 0) = {i + 1:#x}0000\n"
        self.imports(text, "".join(f"map {i + 1:x}0000 1000 {which} 0 rs\n"
                                   for i, which in enumerate([1, 2, 1, 1, 1, 3, 2, 3, 1])))

    def test_processes(self):
        self.assertEqual(self.sample("threads.log", "--pid=502")[0], "unmap 7f0000001000 1000\n")
        self.assertIn("map 7f0000030000 1000 0 0 p\n", self.sample("threads.log", "--pid=503")[0])
        self.assertIn("unmap 7f0000001000 1000\n", self.sample("threads.log", "--pid=all")[0])
        self.assertEqual(self.sample("unnamed.log", "--pid=901")[0], "map 7f0000010000 1000 0 0 rp\n")
        self.assertEqual(self.sample("unnamed.log", "--pid=900")[0],
                         self.sample("unnamed.log")[0])

    def test_children_that_go_on_first(self):
        """A child may act in lines before the one in which the call that made it returns."""
        log = ("5 brk(NULL) = 0x1000\n5 vfork( <unfinished ...>\n"
               "6 execve(\"/bin/true\", [\"true\"], 0x7ffc00000000 /* 1 var */) = 0\n"
               "5 <... vfork resumed>) = 6\n6 munmap(0x1000, 4096) = 0\n"
               "5 clone3({flags=CLONE_VM|CLONE_THREAD}, 88 <unfinished ...>\n"
               "7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8\n"
               "5 <... clone3 resumed>) = 7\n8 munmap(0x2000, 4096) = 0\n")
        self.imports(log, "unmap 2000 1000\n")

    def test_process_of_the_first_line(self):
        """It is the default even if a call of another process completes first."""
        log = ("5 munmap(0x1000, 4096 <unfinished ...>\n6 munmap(0x2000, 4096) = 0\n"
               "5 <... munmap resumed>) = 0\n")
        self.imports(log, "unmap 1000 1000\n")

    def test_halves_with_and_without_process_ids(self):
        """A call may begin before lines name processes, and return after they do, or the other way round."""
        done = self.imports(
            "vfork( <unfinished ...>\n[pid 6] munmap(0x1000, 4096) = 0\n[pid 5] <... vfork resumed>) = 6\n"
            "[pid 5] munmap(0x2000, 4096 <unfinished ...>\n[pid 6] +++ exited with 0 +++\n"
            "<... munmap resumed>) = 0\n", "unmap 1000 1000\nunmap 2000 1000\n")
        self.assertEqual(done.stderr, "")

    def test_first_process_named_late(self):
        """strace -f -q may name children before the first process; one that was made is not the first."""
        for make in ["vfork(", "fork(", "clone(child_stack=NULL, flags=SIGCHLD", "clone3({flags=0}, 88"]:
            with self.subTest(make):
                name = make.split("(")[0]
                self.imports(
                    "munmap(0x1000, 4096) = 0\n" + make + ") = 6\n"
                    "[pid 6] munmap(0x2000, 4096) = 0\n[pid 6] " + make + " <unfinished ...>\n"
                    "[pid 7] munmap(0x3000, 4096) = 0\n"
                    "[pid 6] <... " + name + " resumed>) = 7\n"
                    "[pid 5] munmap(0x4000, 4096) = 0\n",
                    "unmap 1000 1000\n" + ("unmap 2000 1000\nunmap 3000 1000\n" if name == "vfork" else "") +
                    "unmap 4000 1000\n")

    def test_files_of_children(self):
        """A child of vfork has a table of files of its own, with its threads; a thread has not."""
        mapped = "mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, 3, 0) = "
        for make, new in [("vfork() = 6", 1), ("clone(child_stack=NULL, flags=CLONE_VM|CLONE_VFORK|SIGCHLD) = 6", 1),
                          ("vfork() = 8\n8 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88) = 6", 1),
                          ("clone3({flags=CLONE_VM|CLONE_FILES|CLONE_VFORK}, 88) = 6", 2),
                          ("clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88) = 6", 2)]:
            with self.subTest(make):
                self.imports(
                    f'5 openat(AT_FDCWD, "/a", O_RDONLY) = 3\n5 {mapped}0x10000\n5 {make}\n'
                    '6 openat(AT_FDCWD, "/b", O_RDONLY) = 4\n6 dup2(4, 3) = 3\n6 close(4) = 0\n'
                    f'5 {mapped}0x20000\n',
                    f"map 10000 1000 1 0 rs\nmap 20000 1000 {new} 0 rs\n")

    def test_many_threads(self):
        """Every thread is found whatever the order of the ids, and each of those that had the same one."""
        log, operations = "5 brk(NULL) = 0x1000\n", ""
        for i in range(2000):
            pid, addr = 100 + i * 7 % 1000, 0x1000 * (i + 1)
            log += (f"5 clone(flags=CLONE_VM|CLONE_THREAD) = {pid}\n{pid} munmap({addr:#x}, 4096) = 0\n"
                    f"{pid} +++ exited with 0 +++\n{pid} munmap({addr:#x}, 4096) = 0\n")
            operations += f"unmap {addr:x} 1000\n"
        self.imports(log, operations)

    def test_process_ids_used_again(self):
        """A process that has ended has nothing to do with a later one of the same id."""
        log = ("5 brk(NULL) = 0x1000\n5 clone(flags=CLONE_VM|CLONE_THREAD) = 6\n"
               "6 munmap(0x1000, 4096) = 0\n6 +++ exited with 0 +++\n"
               "5 fork( <unfinished ...>\n6 munmap(0x2000, 4096) = 0\n5 <... fork resumed>) = 6\n"
               "6 clone(flags=CLONE_VM|CLONE_THREAD) = 7\n7 munmap(0x3000, 4096) = 0\n"
               "6 +++ killed by SIGKILL +++\n"
               "5 clone(flags=CLONE_VM|CLONE_THREAD <unfinished ...>\n6 munmap(0x4000, 4096) = 0\n"
               "5 <... clone resumed>) = 6\n5 +++ exited with 0 +++\n6 +++ exited with 0 +++\n"
               "5 munmap(0x5000, 4096) = 0\n6 munmap(0x6000, 4096) = 0\n")
        self.imports(log, "unmap 1000 1000\nunmap 4000 1000\n")

    def test_flags_as_numbers(self):
        """Who shares the memory is known with strace -X raw and -X verbose, too."""
        vm, thread, signal = "0x100 /* CLONE_VM */", "0x3d0f00 /* CLONE_VM|CLONE_THREAD */", "17 /* SIGCHLD */"
        for call, mine in [(f"clone(child_stack=0x1000, flags={vm}|{signal})", True),
                           (f"clone(child_stack=NULL, flags=0x1200000|{signal})", False),
                           (f"clone3({{flags={thread}, stack=0x1000}}, 88)", True),
                           ("clone3({flags=0}, 88)", False)]:
            for text in [call, re.sub(r" /\*.*?\*/", "", call)]:
                log = f"5 brk(NULL) = 0x1000\n5 brk(0x2000) = 0x2000\n5 {text} = 6\n6 munmap(0x1000, 4096) = 0\n"
                self.assertEqual("unmap" in self.ok("import", "-", stdin=log).stdout, mine, text)

    def test_flags_that_are_not_there(self):
        """strace -e raw leaves nothing of them, which is said."""
        log = "5 munmap(0x1000, 0x1000) = 0\n5 clone3(0x7ffd10, 0x58) = 0x6\n5 clone(0x100, 0x1000) = 0x7\n5 vfork() = 8\n"
        done = self.ok("import", "-", stdin=log + "6 munmap(0x2000, 0x1000) = 0\n")
        self.assertNotIn("unmap 2000", done.stdout)
        self.assertIn("2 calls of clone or clone3 whose flags the log does not show", done.stderr)
        self.assertEqual(self.ok("import", "--pid=all", "-", stdin=log).stderr, "")

    def test_who_is_not_known(self):
        """Calls of processes whose beginning the log does not show are left out, which is said."""
        log = "5 munmap(0x1000, 4096) = 0\n6 munmap(0x2000, 4096) = 0\n6 munmap(0, 1) = -1 EINVAL (Invalid argument)\n"
        done = self.imports(log + "7 munmap(0x3000, 4096) = 0\n6 +++ exited with 0 +++\n", "unmap 1000 1000\n")
        self.assertIn("2 calls of processes that may be threads were left out", done.stderr)
        done = self.imports("5 vfork( <unfinished ...>\n6 execve(\"/a\", [\"a\"], 0x1000 /* 2 vars */) = 0\n"
                            "5 <... vfork resumed>) = 6\n" + log, "unmap 1000 1000\n")
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.ok("import", "--pid=all", "-", stdin=log).stderr, "")
        self.assertEqual(self.ok("import", "--pid=6", "-", stdin=log).stderr, "")
        done = self.imports("munmap(0x1000, 4096) = 0\n[pid 5] munmap(0x2000, 4096) = 0\n"
                            "[pid 6] munmap(0x3000, 4096) = 0\n", "unmap 1000 1000\nunmap 2000 1000\n")
        self.assertIn("1 calls of processes that may be threads were left out", done.stderr)

    def test_names_and_summary(self):
        """What strace -Y and -C add changes nothing."""
        with open(os.path.join(HERE, "strace", "threads.log")) as log:
            text = re.sub(r"^(\d+) ", r"\1<a] b> ", log.read(), flags=re.M)
        self.assertIn("500<a] b> 10:", text)
        text += ("% time     seconds  usecs/call     calls    errors syscall\n"
                 "------ ----------- ----------- --------- --------- ----------------\n"
                 "100.00    0.000060          30         2           munmap\n")
        self.imports(text, self.sample("threads.log")[0])
        line = text.count("\n") + 1
        self.fails(1, f"<stdin>:{line}: something follows strace's summary", "import", "-",
                   stdin=text + "munmap(0x1000, 4096) = 0\n")

    def test_calls_begun_before_the_log(self):
        done = self.imports("5 <... munmap resumed>) = 0\n5 munmap(0x2000, 4096) = 0\n", "unmap 2000 1000\n")
        self.assertIn("1 calls that began before the log were left out", done.stderr)

    def test_attached_before_the_log(self):
        done = self.imports("shmdt(0x5000) = 0\n", "unmap 5000 1000\n")
        self.assertIn("the size of 1 System V segments is not in the log", done.stderr)

    def test_segments_in_pieces(self):
        """shmdt leaves alone what was mapped over the segment, and what lies where another was attached."""
        done = self.imports(
            "shmget(5, 0x4000, IPC_CREAT|0600) = 1\nshmget(5, 1, 0600) = 1\n"
            "shmat(1, NULL, 0) = 0x10000\n"
            "mmap(0x11000, 0x1000, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = 0x11000\n"
            "shmdt(0x10000) = 0\n"
            "shmat(1, 0x20000, 0) = 0x20000\nmunmap(0x20000, 0x4000) = 0\n"
            "shmget(6, 0x2000, IPC_CREAT|0600) = 2\n"
            "shmat(2, 0x20000, 0) = 0x20000\nshmat(1, 0x22000, 0) = 0x22000\nshmdt(0x20000) = 0\n"
            "mremap(0x22000, 0x4000, 0x4000, MREMAP_MAYMOVE|MREMAP_FIXED, 0x30000) = 0x30000\n"
            "shmdt(0x30000) = 0\n",
            "map 10000 4000 1 0 rws\nmap 11000 1000 0 0 rp\nunmap 10000 1000\nunmap 12000 2000\n"
            "map 20000 4000 1 0 rws\nunmap 20000 4000\nmap 20000 2000 2 0 rws\n"
            "map 22000 4000 1 0 rws\nunmap 20000 2000\nmove 22000 4000 30000 4000\n"
            "unmap 30000 4000\n")
        self.assertEqual(done.stderr, "")

    def test_huge_pages(self):
        """What they make up is as long as whole ones, however strace writes their size."""
        for flags, pages in [("SHM_HUGETLB|0600", 2 << 20), ("SHM_HUGETLB|21<<SHM_HUGE_SHIFT|0600", 2 << 20),
                             ("0x1a00 /* IPC_CREAT|SHM_HUGETLB */|16<<26 /* SHM_HUGE_SHIFT */|0600", 1 << 16),
                             ("0x1a00|16<<26|0600", 1 << 16), ("IPC_CREAT|0600", 1 << 12)]:
            self.imports(f"shmget(IPC_PRIVATE, 4096, {flags}) = 7\nshmat(7, NULL, 0) = 0x200000\n",
                         f"map 200000 {pages:x} 1 0 rws\n")
        for flags in ["MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|16<<MAP_HUGE_SHIFT", "0x40022|16<<26",
                      "0x2 /* MAP_PRIVATE */|0x40020 /* MAP_ANONYMOUS|MAP_HUGETLB */|16<<26 /* MAP_HUGE_SHIFT */"]:
            self.imports(f"mmap(NULL, 4096, PROT_READ, {flags}, -1, 0) = 0x200000\n", "map 200000 10000 0 0 rp\n")

    def test_mmap2(self):
        """32-bit programs call it; it counts pages of the file, but strace shows bytes."""
        self.imports("mmap2(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0x1000) = 0xf7000000\n",
                     "map f7000000 2000 1 1000 rp\n")

    def test_room_that_an_unmap_made(self):
        """A mapping placed by the kernel in room that an unfinished munmap frees comes after that."""
        anonymous = "PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS"
        first = (f"5 mmap(NULL, 0x4000, {anonymous}, -1, 0) = 0x10000\n"
                 "5 clone(flags=CLONE_VM|CLONE_THREAD) = 6\n5 munmap(0x10000, 16384 <unfinished ...>\n")
        begin = "map 10000 4000 0 0 rp\n"
        moved = (f"6 mmap(NULL, 0x1000, {anonymous}, -1, 0) = 0x30000\n"
                 "6 mremap(0x30000, 0x1000, 0x2000, MREMAP_MAYMOVE) = ")
        for call, trace in [
                (f"6 mmap(NULL, 0x2000, {anonymous}, -1, 0) = 0x13000\n",
                 "unmap 10000 4000\nmap 13000 2000 0 0 rp\n"),
                (f"6 mmap(NULL, 0x2000, {anonymous}, -1, 0) = 0x14000\n",
                 "map 14000 2000 0 0 rp\nunmap 10000 4000\n"),
                (f"6 mmap(0x12000, 0x1000, {anonymous}|MAP_FIXED, -1, 0) = 0x12000\n",
                 "map 12000 1000 0 0 rp\nunmap 10000 4000\n"),
                (moved + "0x10000\n",
                 "map 30000 1000 0 0 rp\nunmap 10000 4000\nmove 30000 1000 10000 2000\n"),
                (moved.replace("0x30000", "0xf000") + "0xf000\n",
                 "map f000 1000 0 0 rp\nunmap 10000 4000\nmove f000 1000 f000 2000\n")]:
            with self.subTest(call):
                self.imports(first + call + "5 <... munmap resumed>) = 0\n", begin + trace)

    def test_room_that_a_move_made(self):
        """The same for mremap, which may itself lie where another one was."""
        anonymous = "PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0"
        log = (f"5 mmap(NULL, 0x4000, {anonymous}) = 0x10000\n5 mmap(NULL, 0x2000, {anonymous}) = 0x20000\n"
               "5 clone(flags=CLONE_VM|CLONE_THREAD) = 6\n6 clone(flags=CLONE_VM|CLONE_THREAD) = 7\n"
               "5 mremap(0x10000, 16384, 4096, MREMAP_MAYMOVE <unfinished ...>\n"
               "6 mremap(0x20000, 0x2000, 0x3000, MREMAP_MAYMOVE <unfinished ...>\n"
               f"7 mmap(NULL, 0x1000, {anonymous}) = 0x20000\n"
               "5 <... mremap resumed>) = 0x10000\n6 <... mremap resumed>) = 0x11000\n")
        self.imports(
            log,
            "map 10000 4000 0 0 rp\nmap 20000 2000 0 0 rp\nmove 10000 4000 10000 1000\n"
            "move 20000 2000 11000 3000\nmap 20000 1000 0 0 rp\n")

    def test_protected_stack(self):
        """PROT_GROWSDOWN protects a stack from its beginning, and other mappings as given."""
        first = "".join(f"mmap(0x{at}000, 0x2000, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS{flag}, -1, 0) = 0x{at}000\n"
                        for at, flag in [(10, ""), (12, "|MAP_GROWSDOWN"), (14, "|MAP_GROWSDOWN")])
        for prot in ["PROT_NONE|PROT_GROWSDOWN", "0x1000000"]:
            done = self.ok("import", "-", stdin=first + (
                f"mprotect(0x15000, 0x1000, {prot}) = 0\nmprotect(0x11000, 0x1000, {prot}) = 0\n"))
            self.assertEqual(done.stdout.split("\n", 7)[7], "protect 12000 4000 pg\nprotect 11000 1000 p\n")

    def test_protected_up_to_a_hole(self):
        """mprotect over a hole fails, and has protected what is before it."""
        first = "".join(f"mmap({at}, {length}, PROT_READ, {how}|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = {at}\n"
                        for at, length, how in [("0x10000", "0x2000", "MAP_PRIVATE"), ("0x12000", "0x1000", "MAP_SHARED"),
                                                ("0x14000", "0x1000", "MAP_PRIVATE")])
        begin = "map 10000 2000 0 0 rp\nmap 12000 1000 1 0 rs\nmap 14000 1000 0 0 rp\n"
        none = "PROT_NONE) = -1 ENOMEM (Cannot allocate memory)\n"
        done = self.imports(
            first + f"mprotect(0x11000, 0x4000, {none}" + "mprotect(0x11000, 0x4000, PROT_NONE) = -1 EACCES (Permission denied)\n"
            f"mprotect(0x13000, 0x2000, {none}" + f"pkey_mprotect(0x14000, 0x2000, 0 /* PROT_NONE */, 1{none[9:]}"
            f"mprotect(0x10000, 0x3000, {none}" + f"mprotect(0x10000, 0, {none}",
            begin + "protect 11000 1000 p\nprotect 12000 1000 s\nprotect 14000 1000 p\n")
        self.assertEqual(done.stderr, "")

    def test_times(self):
        """What strace -r, -t, -tt and -ttt write before a call changes nothing, with strace-log-merge either."""
        for time in ["12:00:00 ", "12:00:00.000001 ", "1796095487.117935 ", "    1796095487.117935 ", "     0.000012 ", "12:00:00 (+     0.000012) ", "12:00:00.000001 (+     0.000012) "]:
            with self.subTest(time):
                self.imports(f"5 {time}munmap(0x1000, 4096) = 0\n", "unmap 1000 1000\n")

    def test_moves_of_parts(self):
        """What stays mapped of a file (MREMAP_DONTUNMAP) keeps the offset that it had there."""
        first = "mmap(NULL, 0x4000, PROT_READ, MAP_SHARED, 3, 0x1000) = 0x10000\n"
        done = self.imports(
            first + "mremap(0x11000, 0x2000, 0x2000, MREMAP_MAYMOVE|MREMAP_DONTUNMAP) = 0x20000\n",
            "map 10000 4000 1 1000 rs\nmove 11000 2000 20000 2000\nmap 11000 2000 1 2000 rs\n")
        self.assertEqual(done.stderr, "")

    def test_moves_over_holes(self):
        """Linux moves what is there; where there was a hole, the new range stays as it is."""
        first = "".join(f"mmap({at}, {length}, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = {at}\n"
                        for at, length in [("0x10000", "0x2000"), ("0x13000", "0x1000"), ("0x14000", "0x1000"),
                                           ("0x16000", "0x2000"), ("0x30000", "0x8000")])
        begin = ("map 10000 2000 0 0 rp\nmap 13000 1000 0 0 rp\nmap 14000 1000 0 0 rp\nmap 16000 2000 0 0 rp\n"
                 "map 30000 8000 0 0 rp\n")
        moves = ["move 11000 1000 30000 1000\n", "move 13000 2000 32000 2000\n", "move 16000 1000 35000 1000\n"]
        kept = ["map 11000 1000 0 0 rp\n", "map 13000 1000 0 0 rp\nmap 14000 1000 0 0 rp\n", "map 16000 1000 0 0 rp\n"]
        call = "mremap(0x11000, 0x6000, 0x6000, MREMAP_MAYMOVE|MREMAP_FIXED{}, 0x30000) = 0x30000\n"
        done = self.imports(first + call.format(""), begin + "".join(moves))
        self.assertEqual(done.stderr, "")
        self.imports(first + call.format("|MREMAP_DONTUNMAP"),
                     begin + "".join(move + keep for move, keep in zip(moves, kept)))
        self.imports(first + call.format("").replace("0x6000", "0x8000"),
                     begin + "".join(moves[:2]) + "move 16000 2000 35000 2000\n")
        done = self.imports(first + call.format("").replace("0x11000, 0x6000, 0x6000", "0x15000, 0x2000, 0x2000"),
                            begin + "map 15000 1000 0 0 rwp\nmove 15000 2000 30000 2000\n")
        self.assertIn("1 ranges were used", done.stderr)

    def test_growth_over_what_seems_mapped(self):
        """The kernel found the room free: what was there must have gone unseen."""
        done = self.imports(
            "mmap(NULL, 0x4000, PROT_READ, MAP_SHARED, 3, 0x1000) = 0x10000\n"
            "mremap(0x10000, 0x2000, 0x3000, MREMAP_MAYMOVE) = 0x10000\n",
            "map 10000 4000 1 1000 rs\nunmap 12000 1000\nmove 10000 2000 10000 3000\n")
        self.assertIn("1 ranges were used", done.stderr)
        self.ok("replay", "--check=every", "-", stdin=done.stdout)

    def test_messages(self):
        self.assertIn("1 calls that never finished were left out", self.sample("threads.log")[1])
        self.assertIn("2 ranges were used", self.sample("remap.log")[1])
        self.assertIn("the size of 1 System V segments", self.sample("remap.log")[1])
        for log in ["files.log", "holes.log"]:
            self.assertEqual(self.sample(log)[1], "")

    def test_faults_name_the_line(self):
        for line, why in [
                ("this is no strace", "not a line of strace's output"),
                ("mmap(NULL, 4096, PROT_READ", "the call's arguments do not end"),
                ("munmap(0x1000, 4096)", "the call has no result that can be read"),
                ("munmap(0x1000) = 0", "the call has too few arguments"),
                ("munmap(addr, 4096) = 0", "an argument is not a number"),
                ("munmap(0x1001, 4096) = 0", "not a multiple of the page size"),
                ("munmap(0x1000, 0) = 0", "the length is 0"),
                ("munmap(0xfffffffffffff000, 8192) = 0", "beyond the end of the address space"),
                ("munmap(0x1000, 18446744073709551615) = 0", "does not fit in 64 bits"),
                ("mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, x, 0) = 0x1000", "the file number"),
                ("mmap(NULL, 4096, |, MAP_PRIVATE, 3, 0) = 0x1000", "the protection"),
                ("shmat(x, NULL, 0) = 0x1000", "an argument is not a number"),
                ("shmat(1, NULL, |) = 0x1000", "the flags cannot be read"),
                ("shmget(1, x, 0) = 1", "an argument is not a number"),
                ("shmdt(x) = 0", "an argument is not a number"),
                ("mprotect(0x1000, 4096, |) = 0", "the protection cannot be read"),
                ("mremap(0x1000, 4096, x, 0) = 0x1000", "an argument is not a number"),
                ("mremap(0x1000, 4096, 4096, |) = 0x1000", "the flags cannot be read"),
                ("remap_file_pages(0x1000, 4096, 0, x, 0) = 0", "an argument is not a number"),
                ("close(x) = 0", "the file number cannot be read"),
                ("dup(x) = 4", "the file number cannot be read"),
                ("<... munmap) = 0", "a call that goes on, but not as strace writes it")]:
            with self.subTest(line):
                log = self.path("log", "brk(NULL) = 0x1000\n\n" + line + "\n")
                self.assertIn(why, self.fails(1, f"{log}:3: ", "import", log).stderr)
        self.fails(1, "<stdin>:1: not a line of strace's output", "import", "-", stdin="this is no strace\n")

    def test_nothing_to_import(self):
        self.fails(1, "<stdin>: no memory calls", "import", "-", stdin="+++ exited with 0 +++\n")
        self.fails(1, "no memory calls of process 77", "import", "--pid=77", "-",
                   stdin="5 munmap(0x1000, 4096) = 0\n")
        self.fails(1, "no-such-log: No such file", "import", "no-such-log")

    def test_source(self):
        log = "brk(NULL) = 0x1000\nmunmap(0x1000, 4096) = 0\n"
        for source, why in [("", "is empty"), ("a\tb", "contains a control character"),
                            ("a\nb", "contains a control character"), (b"\xff", "is not UTF-8"),
                            ("x" * 1024, "is longer than 1023 bytes"),
                            ("\xe4" * 512, "is longer than 1023 bytes")]:
            self.fails(2, f"samara import: --source: the source {why}\n", "import", "--source", source,
                       "no-such-log")
        for source in ["x" * 1023, "\xe4" * 511 + "x"]:
            done = self.ok("import", f"--source={source}", "-", stdin=log)
            self.assertEqual(done.stdout.split("\n")[1], f"# source: {source}")

    def test_source_from_the_name(self):
        """Whatever the log is called, what is written is a trace."""
        folder = os.fsencode(self.folder)
        for name, shown in [(b"a\xff\xc3b", "a\ufffd\ufffdb"), (b"a\tb\n", "a\ufffdb\ufffd"),
                            (b"a\x7f\xc2\x9bb", "a\ufffd\ufffd\ufffdb"), ("\xe4".encode(), "\xe4")]:
            path = os.path.join(folder, name)
            with open(path, "w") as log:
                log.write("munmap(0x1000, 4096) = 0\n")
            done = self.ok("import", path)
            self.assertEqual(done.stdout.split("\n")[1],
                             f"# source: imported from the strace log {self.folder}/{shown}")
            self.ok("replay", "-", stdin=done.stdout)
        for extra in range(2):  # one of the two ends within a character
            path = self.folder + "/" * (1 + extra) + "./" * 440 + "\xe4" * 120
            with open(path, "w") as log:
                log.write("munmap(0x1000, 4096) = 0\n")
            done = self.ok("import", path)
            source = done.stdout.split("\n")[1][len("# source: "):]
            self.assertIn(len(source.encode()), [1022, 1023])
            self.ok("replay", "-", stdin=done.stdout)

    def test_written_xz(self):
        out = self.path("t.xz")
        self.ok("import", f"--output={out}", os.path.join(HERE, "strace", "files.log"))
        self.assertIn(b"files.log", lzma.open(out).read())
        self.ok("replay", out)

    def test_mutated_logs(self):
        """Bytes changed at random: an error or a trace that replays, never a crash."""
        texts = []
        for log in sorted(glob.glob(os.path.join(HERE, "strace", "*.log"))):
            with open(log, "rb") as sample:
                texts.append(sample.read())
        state = 12345
        for i in range(2 * SCALE):
            text = bytearray(texts[i % len(texts)])
            for _ in range(3):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                text[(state >> 33) % len(text)] = b"0123456789abcdefx(),|<>=-\"{} \n"[state % 30]
            done = run("import", "--source=x", "-", stdin=bytes(text))
            self.assertIn(done.returncode, [0, 1], bytes(text))
            if done.returncode == 0:
                self.ok("replay", "--check=every", "-", stdin=done.stdout)


class Dump(ToolTest):
    TRACE = HEADER + "map 1000 1000 7 0 rwp\nmap 5000 2000 8 0 rs\nload 1fff\nunmap 1000 1000\n"

    def test_text(self):
        done = self.ok("dump", "-", stdin=self.TRACE)
        self.assertIn("1 mappings:", done.stdout)
        self.assertIn("5000-6fff", done.stdout)
        self.assertNotIn("object 7", done.stdout)

    def test_after(self):
        done = self.ok("dump", "--after=3", "-", stdin=self.TRACE)
        self.assertIn("2 mappings:", done.stdout)
        self.assertRegex(done.stdout, r"1000-1fff entry \S+ object 7 offset 0 rwp")
        self.assertIn("0 mappings:", self.ok("dump", "--after=0", "-", stdin=self.TRACE).stdout)

    def test_dot(self):
        out = self.path("dot")
        self.ok("dump", "--format=dot", f"--output={out}", "-", stdin=self.TRACE)
        with open(out) as text:
            dot = text.read()
        self.assertTrue(dot.startswith("digraph"))
        self.assertEqual(dot.count("{"), dot.count("}"))

    def test_faults(self):
        self.fails(1, "<stdin>:9: looks up", "dump", "-", stdin=self.TRACE + "load 0\n")
        self.fails(1, "/nowhere/x: No such file", "dump", "--output=/nowhere/x", "-", stdin=self.TRACE)

    def test_short_of_memory(self):
        """It is said at which operation, if there is enough for the file."""
        self.needs_exact_memory()
        trace = self.path("t", HEADER + "".join(f"map {i:x}000 1000 0 0 {'rp'[i % 2:]}\n" for i in range(100000)))
        statuses, lines = set(), 0
        for room in range(4, 64, 4):
            done = run("dump", "--output=/dev/null", trace, room=room << 20)
            if done.returncode == 127:  # nor for the libraries
                continue
            statuses.add(done.returncode)
            self.assertRegex(done.stderr, rf": {NO_MEMORY}\n$" if done.returncode else "^$")
            lines += re.match(rf"{trace}:\d+: {NO_MEMORY}\n$", done.stderr) is not None
        self.assertEqual(statuses, {0, 1})
        self.assertGreater(lines, 0)


class Gpuvm(ToolTest):
    def script(self, text):
        done = self.ok("gpuvm", "--script=-", stdin=text)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_scripts(self):
        for path in sorted(glob.glob(os.path.join(HERE, "gpuvm", "*.script"))):
            with open(path[:-6] + "out") as out:
                self.assertEqual(self.ok("gpuvm", "--script", path).stdout, out.read(), path)

    def test_specification(self):
        """Every request of the conformance examples, through the tool, as steps and as lists."""
        script, wanted = "", []
        with open(os.path.join(ROOT, "tests", "conformance", "gpuvm.txt")) as lines:
            for line in lines:
                done = re.match(r"E\w+ (vm=\S+ )?\[(.*?)\] ((?:un)?map) (\S+) => (.*?) => \[(.*?)\]", line)
                if not done:
                    continue
                vm, before, verb, what, steps, after = done.groups()
                for prefix in ("", "ops-"):
                    script += f"vm {vm[3:] if vm else '0+1000'}\n"
                    script += "".join(f"insert {mapping}\n" for mapping in before.split())
                    script += f"{prefix}{verb} {what}\ndump\n"
                    wanted.append((line, steps, after))
        parts = re.split(r"^vm .*\n", self.script(script), flags=re.M)[1:]
        self.assertGreater(len(parts), 140)
        self.assertEqual(len(parts), len(wanted))
        for part, (line, steps, after) in zip(parts, wanted):
            body, shown = re.search(r"^(?:ops-)?(?:un)?map .*\n((?:  .*\n)*)dump\n((?:  .*\n)*)$", part, re.M).groups()
            self.assertEqual(" ".join(body.replace("\n  ", " ").split()) or "(none)", steps, line)
            self.assertEqual(" ".join(shown.split()), after, line)

    def test_notation(self):
        """What may be written in several ways is printed in one."""
        name = "a_1" + "x" * 12
        for text, shown in [("vm\t0+A0 \t align=1\r\n", "vm 0+a0 align=1\n"), ("object A_b 1F # c\n", "object A_b 1f\n"),
                            (f"vm 0+10\nmap 1+1={name}\n", f"vm 0+10\nmap 1+1={name}@0\n  M(1+1={name}@0)\n"),
                            ("vm 0+10\nhole 0\n", "vm 0+10\nhole 0\n  -EINVAL\n"),
                            ("vm 0+10\n\tfind 0001", "vm 0+10\nfind 1\n  none\n")]:
            self.assertEqual(self.script(text), shown)

    def test_mistakes_come_after_what_was_done(self):
        done = subprocess.run([*SAMARA, "gpuvm", "--script=-"], input=b"vm 0+10\nfrob\n", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual(done.stdout, b"vm 0+10\n<stdin>:2: unknown command\n")

    def test_short_of_memory(self):
        self.needs_exact_memory()
        text = "vm 0+1000000\n" + "".join(f"map {i * 2:x}+1=-\n" for i in range(60000))
        refused = 0
        for room in range(4, 64, 4):
            done = run("gpuvm", "--script=-", stdin=text, room=room << 20)
            if done.returncode == 127:  # nor for the libraries
                continue
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(set(re.findall("^  (?!M).*$", done.stdout, re.M)) - {"  -ENOMEM"}, set())
            refused += "\n  -ENOMEM\n" in done.stdout
        self.assertGreater(refused, 0)

    def test_zeros(self):
        """What 0 means is for the library to say."""
        text = "vm 0+10 align=0\nvm 0+10/8+0\nhole 5 align=0\nhole 5\n"
        self.assertEqual(self.script(text), "vm 0+10 align=0\n  -EINVAL\nvm 0+10/8+0\nhole 5 align=0\n  0\n"
                                            "hole 5\n  0\n")

    def test_mistakes(self):
        for text, message in (("map 1+1=A\n", "<stdin>:1: there is no VM yet"),
                              ("vm 0+10\nvm 0+10 align=3\ndump\n", "<stdin>:3: there is no VM yet"),
                              ("vm 0+10\n\nfrob\n", "<stdin>:3: unknown command"),
                              ("vm 0+10\nmap 1=A\n", "<stdin>:2: ADDR+RANGE is wanted"),
                              ("vm 0+10\nfind 1 2\n", "<stdin>:2: something follows"),
                              ("map +1=A\n", "<stdin>:1: a hexadecimal number is missing"),
                              ("map 1+1 A\n", "<stdin>:1: ADDR+RANGE=OBJECT@OFFSET is wanted"),
                              ("map 1+1=1\n", "<stdin>:1: an object's name is missing"),
                              ("object " + "x" * 32 + "\n", "<stdin>:1: an object's name is too long"),
                              ("vm 0+10 align=0\ndump\n", "<stdin>:2: there is no VM yet"),
                              ("hole 1 in=1+0\n", "<stdin>:1: 0 makes no sense here"),
                              ("hole 1 in=1\n", "<stdin>:1: ADDR+RANGE is wanted"),
                              ("vm 0+" + "1" * 17 + "\n", "<stdin>:1: a number has more than 64 bits"),
                              ("object A\nobject A\n", "<stdin>:2: there is such an object already"),
                              ("vm 0+10 #" + "x" * 300 + "\n", "<stdin>:1: the line is too long"),
                              ("vm 0+10 #\0" + "x" * 300 + "\n", "<stdin>:1: the line is too long"),
                              ("vm 0+10\ndump #" + "x" * 249, "<stdin>:2: the line is too long"),
                              ("vm 0+10\0\nfrob\n", "<stdin>:1: the line contains a NUL byte"),
                              ("vm 0+10\n\0\n", "<stdin>:2: the line contains a NUL byte")):
            self.fails(1, message, "gpuvm", "--script=-", stdin=text)
        self.script("vm 0+10\ndump #" + "x" * 248)
        self.script("vm 0+10\ndump #" + "x" * 248 + "\n")
        with subprocess.Popen([*SAMARA, "gpuvm", "--script=-"], stdin=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            process.stdin.write(b"x" * 1000)  # of a line that may never end
            process.stdin.flush()
            self.assertEqual(process.wait(timeout=60), 1)
        self.fails(2, "--script=FILE", "gpuvm")
        self.fails(1, "No such file", "gpuvm", "--script=/nonexistent")
        self.fails(1, "Is a directory", "gpuvm", f"--script={self.folder}")


class CommandLine(ToolTest):
    def test_help(self):
        overview = self.ok("help").stdout
        self.assertEqual(overview, self.ok("--help").stdout)
        for command in ["replay", "import", "gen", "dump", "gpuvm"]:
            self.assertIn(f"\n  {command} ", overview)
            text = self.ok("help", command).stdout
            self.assertTrue(text.startswith(f"Usage: samara {command} "))
            self.assertIn("Example", text)
            self.assertEqual(text, self.ok(command, "--help").stdout)
            self.assertEqual(text, self.ok(command, "--help", "operand", "--bad").stdout)
            self.assertLessEqual(max(map(len, text.split("\n"))), 100)
            for path in re.findall(r"traces/[\w.-]+", text):
                self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)
        self.assertRegex(self.ok("--version").stdout, r"^samara \d+\.\d+\.\d+\n$")

    def test_help_format(self):
        text = self.ok("help", "format").stdout
        self.assertIn("protect ADDR LENGTH FLAGS", text)
        self.assertLessEqual(max(map(len, text.split("\n"))), 100)
        header = re.findall(r"^  (# .*\n)", text, re.M)
        self.assertEqual(len(header), 4)
        self.ok("replay", "-", stdin="".join(header))

    def test_wrong_usage(self):
        for args, message in sample([
                ([], "Usage: samara COMMAND"),
                (["replya"], "unknown command 'replya'; did you mean 'replay'?"),
                (["frobnicate"], "unknown command 'frobnicate'\nTry 'samara help'."),
                (["replay" * 9], "unknown command '" + "replay" * 9 + "'\nTry 'samara help'."),
                (["--frob"], "unknown option '--frob'"),
                (["help", "frob"], "unknown command 'frob'"),
                (["help", "gen", "dump"], "one command at a time"),
                (["replay"], "no trace file given"),
                (["replay", "--reader=2", "x"], "did you mean '--readers'?"),
                (["replay", "--frobnicate", "x"], "unknown option '--frobnicate'\nTry 'samara help replay'."),
                (["replay", "--" + "readers" * 9, "x"], "unknown option '--" + "readers" * 9 + "'\nTry"),
                (["replay", "--readers=", "x"], "--readers wants a number from 0 to 1024, not ''"),
                (["replay", "-x"], "unknown option '-x'\nTry 'samara help replay'."),
                (["replay", "--readers=many", "x"], "--readers wants a number from 0 to 1024"),
                (["replay", "--readers=1025", "x"], "--readers wants a number from 0 to 1024"),
                (["replay", "--readers=-1", "x"], "--readers wants a number from 0 to 1024"),
                (["replay", "--readers=18446744073709551616", "x"], "--readers wants a number"),
                (["replay", "--readers=92233720368547758081", "x"], "--readers wants a number"),
                (["replay", "--readers"], "--readers wants a value"),
                (["replay", "--json=yes", "x"], "--json takes no value"),
                (["replay", "--check=often", "x"], "--check wants every, a number, final or none"),
                (["replay", "--check=0", "x"], "--check wants"),
                (["replay", "--repeat=0", "x"], "--repeat wants"),
                (["replay", "--dump-final=a", "x", "y"], "are for one FILE"),
                (["replay", "--expect-final=a", "x", "y"], "are for one FILE"),
                (["replay", "--json", "--dump-final=-", "x"], "both want standard output"),
                (["gen", "--kind=nice"], "--kind wants streaming, fragment, churn or overlap"),
                (["replay", "--through=wall", "x"], "--through wants tree, gpuvm or queue, not 'wall'"),
                (["replay", "--submitters=2", "x"], "go with --through=queue"),
                (["replay", "--engines=2", "x"], "go with --through=queue"),
                (["replay", "--through=gpuvm", "--in-flight=2", "x"], "go with --through=queue"),
                (["replay", "--through=queue", "--submitters=0", "x"], "--submitters wants a number"),
                (["replay", "--through=queue", "--submitters=3", "--in-flight=2", "x"],
                 "each of the 3 submitters wants a job in flight"),
                (["replay", "--no-meter", "x"], "go with --through=queue"),
                (["replay", "--through=gpuvm", "--no-rcu", "x"], "--no-rcu goes with --through=tree"),
                (["gen", "--ops=1e6"], "--ops wants a number"),
                (["gen", "--live=0"], "--live wants a number from 1 to"),
                (["gen", "file"], "takes no FILE"),
                (["import"], "expected one log file ('-'"),
                (["import", "log.5", "log.6"], "expected one log file (strace-log-merge"),
                (["import", "--format=ltrace", "x"], "--format wants strace"),
                (["import", "--pid=me", "x"], "--pid wants a process id or all"),
                (["import", "--page=1000", "x"], "--page wants a power of two"),
                (["gpuvm", "--script=x", "y"], "expected --script=FILE and nothing else"),
                (["dump"], "expected one trace file"),
                (["dump", "a", "b"], "expected one trace file"),
                (["dump", "--format=svg", "a"], "--format wants text or dot"),
                (["dump", "--after=x", "a"], "--after wants a number")]):
            with self.subTest(args):
                done = self.fails(2, message, *args)
                self.assertEqual(done.stdout, "")

    def test_double_dash(self):
        self.fails(1, "--json: No such file", "replay", "--", "--json")

    def commands_that_print(self):
        """On standard output, most of them more than a pipe holds."""
        log, trace, script = self.path("log"), self.path("trace"), self.path("script")
        with open(log, "w") as out:
            out.writelines(f"munmap({i * 8192:#x}, 4096) = 0\n" for i in range(1, 10000))
        self.ok("gen", "--kind=fragment", "--ops=8000", f"--output={trace}")
        with open(script, "w") as out:
            out.write("vm 0+1000\n" + "map 10+10=A\nunmap 14+4\ndump\n" * 1500)
        return [("gen", "--ops=10000"), ("import", log), ("dump", trace), ("dump", "--format=dot", trace),
                ("replay", "--check=none", "--dump-final=-", trace),
                ("replay", "--check=none", trace, *[trace] * 9), ("gpuvm", f"--script={script}"),
                ("help", "replay")]

    def commands_that_write(self):
        """Little and much, into the full disk."""
        log, trace = self.path("log", "munmap(0x1000, 4096) = 0\n"), self.path("trace")
        little = self.path("little", HEADER + "map 1000 1000 0 0 p\n")
        self.ok("gen", "--kind=fragment", "--ops=8000", f"--output={trace}")
        return [("gen", "--ops=10", "--output=/dev/full"), ("import", "--output=/dev/full", log),
                ("dump", "--output=/dev/full", little), ("dump", "--output=/dev/full", trace),
                ("replay", "--check=none", "--dump-final=/dev/full", little)]

    def test_closed_pipe(self):
        """Nobody reads on, from the start or later: no failure, and nothing is said."""
        for args in self.commands_that_print():
            for some in [0, 10]:
                with self.subTest(args=args, some=some):
                    with subprocess.Popen([*SAMARA, *args], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE) as process:
                        process.stdout.read(some)
                        process.stdout.close()
                        self.assertEqual(process.stderr.read(), b"")
                    self.assertEqual(process.returncode, 0)

    def test_closed_pipe_and_endless_script(self):
        with subprocess.Popen(["yes", "find 1"], stdout=subprocess.PIPE) as lines:
            script = "{ echo vm 0+10; cat; } | exec \"$@\" gpuvm --script=- | head -n 3"
            done = subprocess.run(["sh", "-c", script, "sh", *SAMARA], stdin=lines.stdout,
                                  capture_output=True, timeout=60)
            lines.kill()
        self.assertEqual((done.stdout, done.stderr), (b"vm 0+10\nfind 1\n  none\n", b""))

    def test_closed_pipe_and_failures(self):
        """They are found all the same."""
        trace = self.path("t", HEADER + "protect 1000 1000 p\n")
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([*SAMARA, "replay", trace, trace], stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.decode(), f"{trace}:5: protects a range that is not wholly mapped\n" * 2)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            for args in self.commands_that_print():
                with self.subTest(args):
                    done = subprocess.run([*SAMARA, *args], stdout=full, stderr=subprocess.PIPE)
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(done.stderr, b"samara: standard output: No space left on device\n")
        for args in self.commands_that_write():
            with self.subTest(args):
                self.fails(1, "samara: /dev/full: No space left on device\n", *args)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
