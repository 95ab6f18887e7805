"""Owns the rules for the guest kernel's fragments, allow-list, patches and cache key.

Compiles nothing; tests/vm boots the result.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tools.packages import NEEDS

KERNEL = Path(__file__).resolve().parents[2] / "guest" / "kernel"
FRAGMENTS = sorted((KERNEL / "fragments").glob("*.config"))
PATCHES = sorted((KERNEL / "patches").glob("*.patch"))


def load(name: str) -> ModuleType:
    """Import a module of the kernel folder, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, KERNEL / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def options() -> ModuleType:
    return load("options")


@pytest.fixture(scope="module")
def build(options: ModuleType) -> ModuleType:
    load("progress")
    return load("build")


@pytest.fixture
def inputs(options: ModuleType) -> object:
    return options.Inputs(
        fragments=options.read_texts(KERNEL / "fragments", "*.config"),
        patches=options.read_texts(KERNEL / "patches", "*.patch"),
        allow_list=(KERNEL / "missing-ok.txt").read_text(),
        source="linux-source-6.1 6.1.0-1",
        compiler="gcc 12",
        arch="x86_64",
        recipe=1,
    )


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_every_group_of_options_has_its_reason(fragment: Path) -> None:
    blocks = [block for block in fragment.read_text().split("\n\n") if block.strip()]
    for block in blocks:
        lines = block.strip().splitlines()
        if any(line.startswith("CONFIG_") for line in lines):
            assert re.match(r"# \w", lines[0]), f"no reason above: {lines[0]}"
            assert len(" ".join(x for x in lines if x.startswith("#"))) > 20, lines[0]


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_holds_only_options_reasons_and_blank_lines(fragment: Path) -> None:
    for line in fragment.read_text().splitlines():
        assert line == "" or line.startswith("# ") or re.fullmatch(
            r"CONFIG_[A-Z0-9_a-z]+=(y|n|-?\d+|\".*\")", line
        ) or re.fullmatch(r"#   \S.*", line), line  # fmt: skip


def test_no_option_is_named_twice() -> None:
    seen: dict[str, str] = {}
    for fragment in FRAGMENTS:
        for option in re.findall(r"^(CONFIG_\w+)=", fragment.read_text(), re.MULTILINE):
            assert option not in seen, f"{option} is in {seen[option]} and {fragment.name}"
            seen[option] = fragment.name


def test_fragments_merge_in_the_order_of_their_numbers() -> None:
    assert all(re.match(r"\d\d-[a-z]+\.config$", path.name) for path in FRAGMENTS)
    assert len(FRAGMENTS) >= 8


def test_modules_are_never_loadable(options: ModuleType) -> None:
    wanted = options.requested_options(options.read_texts(KERNEL / "fragments", "*.config"))
    assert wanted["CONFIG_MODPROBE_PATH"] == '""'
    assert "nomodule=1" in wanted["CONFIG_CMDLINE"]
    assert "m" not in wanted.values()


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.name)
def test_every_patch_says_why_before_its_diff(patch: Path) -> None:
    text, _, diff = patch.read_text().partition("\n--- a/")
    assert len(text.split("\n\n")) >= 2, "a subject, an empty line, the reason"
    assert diff and len(text) > 100


def test_every_allowed_loss_has_a_reason_and_is_asked_for(options: ModuleType) -> None:
    allowed = options.parse_allow_list((KERNEL / "missing-ok.txt").read_text())
    wanted = options.requested_options(options.read_texts(KERNEL / "fragments", "*.config"))
    assert all(len(reason) > 20 for reason in allowed.values())
    assert set(allowed) <= set(wanted)


def test_an_allowed_loss_without_a_reason_is_refused(options: ModuleType) -> None:
    with pytest.raises(options.BuildError, match="CONFIG_FOO"):
        options.parse_allow_list("CONFIG_FOO\n")


def test_unset_and_absent_options_both_count_as_off(options: ModuleType) -> None:
    final = options.parse_config('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S="a b"\n')
    assert final == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_S": '"a b"'}
    assert options.find_losses({"CONFIG_B": "n", "CONFIG_GONE": "n"}, final, {}) == []


def test_lost_and_changed_options_are_reported_with_both_values(options: ModuleType) -> None:
    wanted = {"CONFIG_A": "y", "CONFIG_B": "y", "CONFIG_N": "32", "CONFIG_OFF": "n"}
    final = options.parse_config("CONFIG_A=y\nCONFIG_N=1\nCONFIG_OFF=y\n")
    assert options.find_losses(wanted, final, {}) == [
        options.Loss("CONFIG_B", "y", "absent"),
        options.Loss("CONFIG_N", "32", "1"),
        options.Loss("CONFIG_OFF", "n", "y"),
    ]


def test_an_allowed_loss_is_not_reported(options: ModuleType) -> None:
    assert options.find_losses({"CONFIG_B": "y"}, {}, {"CONFIG_B": "known"}) == []


def test_two_fragments_that_disagree_are_refused(options: ModuleType) -> None:
    fragments = {"10-a.config": "CONFIG_A=y\n", "20-b.config": "CONFIG_A=n\n"}
    with pytest.raises(options.BuildError, match=r"20-b\.config asks for CONFIG_A=n"):
        options.requested_options(fragments)


def test_the_cache_key_is_stable(inputs: object) -> None:
    again = dataclasses.replace(inputs)  # type: ignore[type-var]
    assert again.fingerprint() == inputs.fingerprint()  # type: ignore[attr-defined]


def test_the_cache_key_ignores_comments(inputs: object) -> None:
    texts = inputs.fragments  # type: ignore[attr-defined]
    commented = {name: f"# Why not.\n\n{text}" for name, text in texts.items()}
    changed = dataclasses.replace(inputs, fragments=commented)  # type: ignore[type-var]
    assert changed.fingerprint() == inputs.fingerprint()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        {"fragments": {"10-platform.config": "CONFIG_SMP=y\n"}},
        {"patches": {}},
        {"allow_list": ""},
        {"source": "linux-source-6.1 6.1.0-2"},
        {"compiler": "gcc 13"},
        {"arch": "aarch64"},
        {"recipe": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_cache_key_changes_with_every_input(inputs: object, change: dict[str, object]) -> None:
    changed = dataclasses.replace(inputs, **change)  # type: ignore[type-var]
    assert changed.fingerprint() != inputs.fingerprint()  # type: ignore[attr-defined]


def test_a_cached_kernel_is_returned_without_building(
    build: ModuleType, inputs: object, tmp_path: Path
) -> None:
    folder = tmp_path / "kernel" / inputs.fingerprint()  # type: ignore[attr-defined]
    folder.mkdir(parents=True)
    (folder / "vmlinux").write_bytes(b"kernel")
    absent = tmp_path / "no-such-tarball"
    assert build.build(inputs, absent, tmp_path, None, 1, io.StringIO()) == folder


def test_a_failed_build_leaves_the_log_and_no_scratch_folder(
    build: ModuleType, inputs: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "TOOLS", ("tar",))
    broken = tmp_path / "source.tar.xz"
    broken.write_bytes(b"this is no archive")
    cache = tmp_path / "cache"
    with pytest.raises(build.BuildError, match="cannot unpack") as raised:
        build.build(inputs, broken, cache, None, 1, io.StringIO())
    assert "tar" in str(raised.value)
    left = sorted(path.name for path in (cache / "kernel").iterdir())
    name = inputs.fingerprint()  # type: ignore[attr-defined]
    assert left == [f"{name}.failed.log", f"{name}.lock"]


def test_a_missing_source_names_the_package(build: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match="apt install linux-source"):
        build.identify_source(tmp_path / "absent.tar.xz")


def test_print_path_says_whether_the_kernel_is_built(tmp_path: Path) -> None:
    source = tmp_path / "source.tar.xz"
    source.write_bytes(b"")
    argv = [sys.executable, str(KERNEL / "build.py"), "--print-path", "--source", str(source)]
    environment = {"PATH": os.environ["PATH"], "HYPER_CACHE": str(tmp_path)}
    first = subprocess.run(argv, env=environment, capture_output=True, text=True)
    path = Path(first.stdout.strip())
    assert first.returncode == 1, first.stderr
    assert path.parent.parent == tmp_path / "kernel"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"kernel")
    again = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, first.stdout)


def test_progress_prints_plain_lines_when_nobody_watches(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    progress = build.Progress(stream, expected=4)
    monkeypatch.setattr(build.sys.modules["progress"], "PLAIN_INTERVAL_S", 0.0)
    for line in ("  CC      init/main.o\n", "make: done\n", "  LD      vmlinux\n"):
        progress.line(line)
    assert stream.getvalue().splitlines()[-1].startswith("kernel: 50%, 2 steps")


def test_the_environment_chooses_the_cache(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPER_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert build.default_cache() == Path("/a")
    monkeypatch.delenv("HYPER_CACHE")
    assert build.default_cache() == Path("/b/hyper")


def test_the_build_report_is_json_of_plain_values(inputs: object) -> None:
    assert json.loads(json.dumps(dataclasses.asdict(inputs)))["recipe"] == 1  # type: ignore[call-overload]


def test_every_program_of_the_build_is_installed_for_it(build: ModuleType) -> None:
    """A machine that has gcc has most of the others already: a bare Debian has not."""
    installed = {need.program for need in NEEDS["kernel"]}
    with_gcc, essential = {"ld", "strip"}, {"tar"}
    assert {*build.TOOLS} - with_gcc - essential <= installed
