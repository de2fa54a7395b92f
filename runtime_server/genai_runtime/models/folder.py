"""What lies in a model folder: files, folders and links, looked at without opening one of them.

A link is followed by its text, never by the operating system, so that nothing outside is touched. What the files hold
is not looked at here.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genai_runtime.models.defects import Code, Findings, shown
from genai_runtime.models.limits import Limits
from genai_runtime.models.names import collision_key, name_fault

_MOST_LINKS = 40
# The root of an ext4 volume has it, for root alone to read.
_OF_THE_FILE_SYSTEM = "lost+found"


@dataclass(slots=True)
class Folder:
    """The folder at `path`, which is resolved. `files`: sizes in bytes of the plain files in it, by relative name."""

    path: Path
    files: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @property
    def total_bytes(self) -> int:
        """All files together."""
        return sum(self.files.values())

    def find(self, name: str) -> str | None:
        """The plain file that `name` leads to, over links inside the folder; None if there is none."""
        found = self.resolve(name)
        return found if found in self.files else None

    def resolve(self, name: str) -> str | None:
        """What `name` leads to, over links, "" being the folder itself; None where that is not inside the folder."""
        done: list[str] = []
        rest = name.split("/")[::-1]
        links = 0
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    return None
                done.pop()
                continue
            target = self.links.get("/".join([*done, part]))
            if target is None:
                done.append(part)
                continue
            links += 1
            if target.startswith("/") or links > _MOST_LINKS:
                return None
            rest += target.split("/")[::-1]
        return "/".join(done)


def look_into(path: Path, limits: Limits, findings: Findings) -> Folder:
    """List everything below `path`, an existing folder; defects of names, kinds, links and sizes go to `findings`."""
    folder = Folder(path.resolve())
    walk = _Walk(folder, limits, findings)
    walk.below("", 0)
    walk.end()
    return folder


@dataclass(slots=True)
class _Walk:
    folder: Folder
    limits: Limits
    findings: Findings
    entries: int = 0
    inodes: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    names_of: dict[tuple[int, int], int] = field(default_factory=dict)

    def below(self, name: str, depth: int) -> None:
        """One folder, and those in it."""
        if depth > self.limits.depth:
            self.findings.add(Code.TOO_DEEP, f"{shown(name)} lies deeper than {self.limits.depth} folders")
            return
        try:
            with os.scandir(self.folder.path / name) as scan:
                inside = sorted(self._counted(scan), key=lambda each: each.name)
        except OSError as error:
            if name != _OF_THE_FILE_SYSTEM:
                self.findings.add(Code.UNREADABLE, f"the folder {shown(name or '.')} cannot be read: {error.strerror}")
            return
        seen: dict[str, str] = {}
        for entry in inside:
            relative = f"{name}/{entry.name}" if name else entry.name
            self._check_name(relative, entry.name, seen)
            self._entry(entry, relative, depth)

    def end(self) -> None:
        """What can be said when everything is known."""
        folder, findings = self.folder, self.findings
        if self.entries > self.limits.files:
            findings.add(Code.TOO_MANY_FILES, f"the folder holds more than {self.limits.files} files and folders")
        if folder.total_bytes > self.limits.total_bytes:
            said = f"the files are {folder.total_bytes} bytes together, and {self.limits.total_bytes} are allowed"
            findings.add(Code.TOO_LARGE, said)
        for inode, names in self.inodes.items():
            if self.names_of[inode] > len(names):
                findings.add(Code.HARD_LINK_OUTSIDE, f"{shown(names[0])} is a hard link to a file outside the folder")
        for name, target in folder.links.items():
            self._check_link(name, target)

    def _counted(self, scan: "Iterator[os.DirEntry[str]]") -> "list[os.DirEntry[str]]":
        inside: list[os.DirEntry[str]] = []
        for entry in scan:
            self.entries += 1
            if self.entries > self.limits.files:
                break
            inside.append(entry)
        return inside

    def _entry(self, entry: "os.DirEntry[str]", name: str, depth: int) -> None:
        found = entry.stat(follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            self.folder.folders.add(name)
            self.below(name, depth + 1)
        elif kind == stat.S_IFLNK:
            self.folder.links[name] = str(Path(entry.path).readlink())
        elif kind == stat.S_IFREG:
            self.folder.files[name] = found.st_size
            if found.st_nlink > 1:
                inode = (found.st_dev, found.st_ino)
                self.inodes.setdefault(inode, []).append(name)
                self.names_of[inode] = found.st_nlink
        else:
            self.findings.add(Code.SPECIAL_FILE, f"{shown(name)} is a device, a socket or a queue")

    def _check_name(self, relative: str, name: str, seen: dict[str, str]) -> None:
        fault = name_fault(name, self.limits)
        if not fault and len(relative.encode()) > self.limits.path_bytes:
            fault = f"is longer than {self.limits.path_bytes} bytes"
        if fault:
            self.findings.add(Code.BAD_NAME, f"the name {shown(relative)} {fault}")
        other = seen.setdefault(collision_key(name), relative)
        if other != relative:
            said = f"{shown(other)} and {shown(relative)} are one name to file systems without cases"
            self.findings.add(Code.NAMES_COLLIDE, said)

    def _check_link(self, name: str, target: str) -> None:
        found = self.folder.resolve(name)
        if found is None or _leads_out(name, target):
            self.findings.add(Code.LINK_OUTSIDE, f"{shown(name)} is a link out of the folder, to {shown(target)}")
        elif found and found not in self.folder.files and found not in self.folder.folders:
            self.findings.add(
                Code.LINK_BROKEN, f"{shown(name)} is a link to {shown(target)}, and there is no such file"
            )


def _leads_out(name: str, target: str) -> bool:
    """By the spelling of one link; a chain of links is judged link by link."""
    if target.startswith("/"):
        return True
    return os.path.normpath("/".join([*name.split("/")[:-1], target])).split("/")[0] == ".."
