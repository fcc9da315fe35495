#!/usr/bin/env python3
"""Reads signed bundles with readers that are not the lab's, and checks them against each other.

    check_bundles.py FOLDER

FOLDER holds ID.app bundles: clients, or one host app with clients as system extensions in it. Property lists are read
by Python's own plistlib, executables by lief (from PyPI), hashes by hashlib. Confirmed: different bundle IDs and signing
identifiers, the entitlement inside each signature, page hashes and special slots that hold, nested code (helpers, system
extensions) that is signed for itself and named by the seal around it, and one and the same code otherwise.
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
INSTALL_ENTITLEMENT = "com.apple.developer.system-extension.install"
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


def signed(path):
    """Checks the pages of one executable; gives back its bytes, its parsed form and the parts of its signature."""
    data = path.read_bytes()
    binary = lief.parse(str(path))
    assert binary.header.cpu_type == lief.MachO.Header.CPU_TYPE.ARM64, binary.header.cpu_type
    start = binary.code_signature.data_offset
    parts = blobs(data[start:])
    directory = parts[0]
    (hashes, _, _, pages, limit) = struct.unpack_from(">IIIII", directory, 16)
    assert limit == start and pages == -(-start // PAGE), (limit, start, pages)
    for page in range(pages):
        recorded = directory[hashes + 32 * page:hashes + 32 * (page + 1)]
        assert sha256(data[page * PAGE:min((page + 1) * PAGE, limit)]) == recorded, f"page {page}"
    return data, binary, parts


def identifier_of(directory):
    name = struct.unpack_from(">I", directory, 20)[0]
    return directory[name:directory.index(b"\0", name)].decode()


def helper(path):
    """Checks a program within a bundle; gives back its identifier and what the kernel calls it."""
    _, _, parts = signed(path)
    assert plistlib.loads(parts[5][8:]) == {}, "a helper is entitled to nothing"
    return identifier_of(parts[0]), sha256(parts[0])[:20]


def check_seal(contents, info, seal):
    """Checks that the seal names everything in the bundle that its main executable does not vouch for, and no more."""
    helpers = {f"Helpers/{path.name}": helper(path) for path in sorted((contents / "Helpers").glob("*"))}
    files = [path for path in sorted((contents / "Library").rglob("*")) if path.is_file()]
    plain = {str(path.relative_to(contents)): sha256(path.read_bytes()) for path in files}
    sealed = plistlib.loads(seal)["files2"]
    assert set(sealed) == set(helpers) | set(plain), "the seal names other files than there are"
    for name, (own, cdhash) in helpers.items():
        assert sealed[name] == {"cdhash": cdhash, "requirement": f'cdhash H"{cdhash.hex()}"'}, name
        assert own == f"{info['CFBundleIdentifier']}.{pathlib.Path(name).name}", own
    for name, digest in plain.items():
        assert sealed[name] == {"hash2": digest}, name
    others = {path.name for path in contents.iterdir()} - {"Info.plist", "MacOS", "_CodeSignature", "Helpers", "Library"}
    assert not others, f"nobody seals {others}"
    return len(helpers), len(plain)


def check(bundle, entitlement):
    """Checks one bundle; gives back what has to differ and what has to be equal."""
    contents = bundle / "Contents"
    info_bytes = (contents / "Info.plist").read_bytes()
    info = plistlib.loads(info_bytes)
    data, binary, parts = signed(contents / "MacOS" / info["CFBundleExecutable"])
    command = binary.code_signature
    start, size = command.data_offset, command.data_size
    linkedit = binary.get_segment("__LINKEDIT")
    assert start + size == len(data) == linkedit.file_offset + linkedit.file_size
    assert linkedit.virtual_size >= linkedit.file_size

    directory = parts[0]
    (hashes, _, special) = struct.unpack_from(">III", directory, 16)
    seal = (contents / "_CodeSignature" / "CodeResources").read_bytes()
    nested = check_seal(contents, info, seal)
    slots = {1: info_bytes, 2: parts[2], 3: seal, 5: parts[5], 7: parts[7]}
    for slot in range(1, special + 1):
        recorded = directory[hashes - 32 * slot:hashes - 32 * (slot - 1)]
        assert recorded == (sha256(slots[slot]) if slot in slots else bytes(32)), f"slot {slot}"

    identifier = identifier_of(directory)
    assert identifier == info["CFBundleIdentifier"], identifier
    assert plistlib.loads(parts[5][8:]) == {entitlement: True}
    assert entitlement.encode() in parts[7]
    flags = struct.unpack_from(">I", directory, 12)[0]
    assert flags == 0x10002, f"ad hoc and hardened runtime, found {flags:#x}"
    # The only load-command bytes that may differ say how long the signature is; its length goes by the
    # identifier's. Everything else before the signature is the client's code.
    code = bytearray(data[:start])
    for at in (command.command_offset + 12, linkedit.command_offset + 32, linkedit.command_offset + 48):
        code[at:at + 4] = bytes(4)
    print(f"{bundle.name}: {identifier}, cdhash {sha256(directory)[:20].hex()}, code {sha256(code).hex()[:16]}, "
          f"{nested[0]} helpers and {nested[1]} other files sealed")
    return identifier, sha256(directory)[:20].hex(), sha256(code).hex()


def check_extension(bundle):
    """Checks what tells a system extension from another bundle."""
    info = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
    assert info["CFBundlePackageType"] == "SYSX", info["CFBundlePackageType"]
    assert bundle.name == f"{info['CFBundleIdentifier']}.systemextension", bundle.name
    assert info["NSSystemExtensionUsageDescription"]
    assert info["NSEndpointSecurityMachServiceName"] == f"{info['CFBundleIdentifier']}.xpc"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    apps = sorted(pathlib.Path(sys.argv[1]).glob("*.app"))
    assert apps, f"no bundle in {sys.argv[1]}"
    hosts = [app for app in apps if (app / "Contents" / "Library" / "SystemExtensions").is_dir()]
    clients = [app for app in apps if app not in hosts]
    others = []
    for host in hosts:
        others.append(check(host, INSTALL_ENTITLEMENT))
        extensions = sorted((host / "Contents" / "Library" / "SystemExtensions").iterdir())
        for extension in extensions:
            check_extension(extension)
            client = plistlib.loads((extension / "Contents" / "Info.plist").read_bytes())["CFBundleIdentifier"]
            assert client.startswith(others[-1][0] + "."), f"{client} does not begin with its host's bundle ID"
        clients += extensions
    checked = [check(bundle, ENTITLEMENT) for bundle in clients]
    for place, what in ((0, "identifiers"), (1, "cdhashes")):
        every = [entry[place] for entry in checked + others]
        assert len(set(every)) == len(every), f"{what} are not distinct"
    assert len({entry[2] for entry in checked}) == 1, "the code is not one and the same"
    print(f"{len(checked) + len(others)} bundles confirmed by plistlib {sys.version.split()[0]}, lief {lief.__version__}, "
          "hashlib")


if __name__ == "__main__":
    main()
