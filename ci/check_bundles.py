#!/usr/bin/env python3
"""Reads signed bundles with readers that are not the lab's, and checks them against each other.

    check_bundles.py FOLDER

FOLDER holds ID.app bundles. Property lists are read by Python's own plistlib, executables by lief (from PyPI),
hashes by hashlib. Confirmed: different bundle IDs and signing identifiers, the Endpoint Security entitlement
inside each signature, page hashes and special slots that hold, and one and the same code otherwise.
Ends with 77 when lief cannot be had: the caller counts that as skipped.
"""

import hashlib
import pathlib
import plistlib
import struct
import sys

try:
    import lief
except ImportError:
    print("SKIPPED: there is no lief here to read the executables (pip install lief)", file=sys.stderr)
    sys.exit(77)

ENTITLEMENT = "com.apple.developer.endpoint-security.client"
PAGE = 4096


def blobs(signature):
    """Splits a signature into its blobs, by slot."""
    magic, _, count = struct.unpack_from(">III", signature)
    assert magic == 0xFADE0CC0, hex(magic)
    found = {}
    for entry in range(count):
        slot, offset = struct.unpack_from(">II", signature, 12 + 8 * entry)
        length = struct.unpack_from(">I", signature, offset + 4)[0]
        found[slot] = signature[offset:offset + length]
    return found


def sha256(data):
    return hashlib.sha256(data).digest()


def helper(path):
    """Checks a program within a bundle; gives back its identifier and what the kernel calls it."""
    data = path.read_bytes()
    command = lief.parse(str(path)).code_signature
    start = command.data_offset
    parts = blobs(data[start:])
    directory = parts[0]
    (hashes, name, _, pages, limit) = struct.unpack_from(">IIIII", directory, 16)
    assert limit == start and pages == -(-start // PAGE), (limit, start, pages)
    for page in range(pages):
        recorded = directory[hashes + 32 * page:hashes + 32 * (page + 1)]
        assert sha256(data[page * PAGE:min((page + 1) * PAGE, limit)]) == recorded, f"page {page}"
    assert plistlib.loads(parts[5][8:]) == {}, "a helper is entitled to nothing"
    return directory[name:directory.index(b"\0", name)].decode(), sha256(directory)[:20]


def check(bundle):
    """Checks one bundle; gives back what has to differ and what has to be equal."""
    contents = bundle / "Contents"
    info_bytes = (contents / "Info.plist").read_bytes()
    info = plistlib.loads(info_bytes)
    executable = contents / "MacOS" / info["CFBundleExecutable"]
    data = executable.read_bytes()
    binary = lief.parse(str(executable))
    assert binary.header.cpu_type == lief.MachO.Header.CPU_TYPE.ARM64, binary.header.cpu_type
    command = binary.code_signature
    start, size = command.data_offset, command.data_size
    linkedit = binary.get_segment("__LINKEDIT")
    assert start + size == len(data) == linkedit.file_offset + linkedit.file_size
    assert linkedit.virtual_size >= linkedit.file_size

    parts = blobs(data[start:])
    directory = parts[0]
    (hashes, name, special, pages, limit) = struct.unpack_from(">IIIII", directory, 16)
    assert limit == start and pages == -(-start // PAGE), (limit, start, pages)
    for page in range(pages):
        end = min((page + 1) * PAGE, limit)
        recorded = directory[hashes + 32 * page:hashes + 32 * (page + 1)]
        assert sha256(data[page * PAGE:end]) == recorded, f"page {page}"
    seal = (contents / "_CodeSignature" / "CodeResources").read_bytes()
    helpers = {f"Helpers/{path.name}": helper(path) for path in sorted((contents / "Helpers").glob("*"))}
    sealed = plistlib.loads(seal)["files2"]
    assert set(sealed) == set(helpers), "a client's bundle has nothing to seal but its helpers"
    for name, (own, cdhash) in helpers.items():
        assert sealed[name] == {"cdhash": cdhash, "requirement": f'cdhash H"{cdhash.hex()}"'}, name
        assert own == f"{info['CFBundleIdentifier']}.{pathlib.Path(name).name}", own
    slots = {1: info_bytes, 2: parts[2], 3: seal, 5: parts[5], 7: parts[7]}
    for slot in range(1, special + 1):
        recorded = directory[hashes - 32 * slot:hashes - 32 * (slot - 1)]
        assert recorded == (sha256(slots[slot]) if slot in slots else bytes(32)), f"slot {slot}"

    identifier = directory[name:directory.index(b"\0", name)].decode()
    assert identifier == info["CFBundleIdentifier"], identifier
    assert plistlib.loads(parts[5][8:]) == {ENTITLEMENT: True}
    assert ENTITLEMENT.encode() in parts[7]
    flags = struct.unpack_from(">I", directory, 12)[0]
    assert flags == 0x10002, f"ad hoc and hardened runtime, found {flags:#x}"
    # The only load-command bytes that may differ say how long the signature is; its length goes by the
    # identifier's. Everything else before the signature is the client's code.
    code = bytearray(data[:start])
    for at in (command.command_offset + 12, linkedit.command_offset + 32, linkedit.command_offset + 48):
        code[at:at + 4] = bytes(4)
    return identifier, sha256(directory)[:20].hex(), sha256(code).hex()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    bundles = sorted(pathlib.Path(sys.argv[1]).glob("*.app"))
    assert bundles, f"no bundle in {sys.argv[1]}"
    checked = [check(bundle) for bundle in bundles]
    for bundle, (identifier, cdhash, code) in zip(bundles, checked):
        print(f"{bundle.name}: {identifier}, cdhash {cdhash}, code {code[:16]}")
    for place, what in ((0, "identifiers"), (1, "cdhashes")):
        assert len({entry[place] for entry in checked}) == len(checked), f"{what} are not distinct"
    assert len({entry[2] for entry in checked}) == 1, "the code is not one and the same"
    print(f"{len(checked)} bundles confirmed by plistlib {sys.version.split()[0]}, lief {lief.__version__}, hashlib")


if __name__ == "__main__":
    main()
