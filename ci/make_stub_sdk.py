#!/usr/bin/env python3
"""Writes the smallest "SDK" that ld64.lld can link the lab against: names of symbols, no code of Apple's.

    make_stub_sdk.py SDK_FOLDER LIBSYSTEM_TBD ENDPOINT_SEC_SYS_FOLDER

A text stub (.tbd) tells the linker which library holds which symbol. libSystem's list is taken from a file that
the caller provides; those of EndpointSecurity and libbsm are read out of the Rust bindings, so that the
stubs name exactly what the bindings can call; libobjc's is written down below. A stub cannot tell whether Apple
really has the symbol: only a Mac can.
"""

import pathlib
import re
import sys

TARGETS = "[ x86_64-macos, arm64-macos ]"

# What block2 and objc2 refer to. Extend it when a link asks for more.
OBJC_FUNCTIONS = """
    objc_alloc objc_alloc_init objc_autorelease objc_autoreleasePoolPop objc_autoreleasePoolPush
    objc_autoreleaseReturnValue objc_copyClassList objc_allocateClassPair objc_allocateProtocol
    objc_begin_catch objc_end_catch objc_claimAutoreleasedReturnValue objc_copyProtocolList objc_copyWeak
    objc_destroyWeak objc_disposeClassPair objc_enumerationMutation objc_exception_rethrow
    objc_exception_throw objc_getClass objc_getClassList objc_getMetaClass objc_getProtocol
    objc_getRequiredClass objc_initWeak objc_loadWeak objc_loadWeakRetained objc_lookUpClass objc_moveWeak
    objc_msgSend objc_msgSendSuper objc_msgSendSuper2 objc_opt_class objc_opt_isKindOfClass objc_opt_new
    objc_opt_respondsToSelector objc_opt_self objc_registerClassPair objc_registerProtocol objc_release
    objc_retain objc_retainAutorelease objc_retainAutoreleasedReturnValue objc_retainAutoreleaseReturnValue
    objc_retainBlock objc_setUncaughtExceptionHandler objc_storeStrong objc_storeWeak objc_sync_enter
    objc_sync_exit objc_terminate __objc_personality_v0 _objc_empty_cache
    class_addIvar class_addMethod class_addProtocol class_conformsToProtocol class_copyIvarList
    class_copyMethodList class_copyPropertyList class_copyProtocolList class_createInstance
    class_getClassMethod class_getInstanceMethod class_getInstanceSize class_getInstanceVariable
    class_getIvarLayout class_getMethodImplementation class_getName class_getProperty class_getSuperclass
    class_getVersion class_isMetaClass class_replaceMethod class_respondsToSelector class_setVersion
    imp_getBlock imp_implementationWithBlock imp_removeBlock
    ivar_getName ivar_getOffset ivar_getTypeEncoding
    method_copyArgumentType method_copyReturnType method_exchangeImplementations method_getImplementation
    method_getName method_getNumberOfArguments method_getTypeEncoding method_setImplementation
    object_getClass object_getClassName object_getIndexedIvars object_getIvar object_setClass object_setIvar
    protocol_addMethodDescription protocol_addProtocol protocol_conformsToProtocol
    protocol_copyMethodDescriptionList protocol_copyProtocolList protocol_getMethodDescription
    protocol_getName protocol_isEqual
    sel_getName sel_getUid sel_isEqual sel_registerName
""".split()


def stub(path, install_name, symbols=(), classes=(), version="1"):
    """Writes one text stub."""
    lines = ["--- !tapi-tbd", "tbd-version: 4", f"targets: {TARGETS}", f"install-name: '{install_name}'",
             f"current-version: {version}"]
    if symbols or classes:
        lines += ["exports:", f"  - targets: {TARGETS}"]
    if symbols:
        lines.append(f"    symbols: [ {', '.join(sorted(symbols))} ]")
    if classes:
        lines.append(f"    objc-classes: [ {', '.join(sorted(classes))} ]")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "..."]) + "\n", encoding="utf-8")


def declared(pattern, *sources):
    """Lists the C functions that Rust sources declare, as the linker spells them."""
    names = {name for source in sources for name in re.findall(pattern, source.read_text(encoding="utf-8"))}
    if not names:
        sys.exit(f"no function matches {pattern} in {', '.join(map(str, sources))}")
    return {f"_{name}" for name in names}


def libsystem(listing):
    """Adapts libSystem's list: newer ones name only arm64e, and the linker may not know arm64e.x1."""
    listing = re.sub(r"arm64e\.x1-(macos|maccatalyst)", "", listing)
    if "arm64-macos" not in listing:
        listing = re.sub(r"arm64e-(macos|maccatalyst)", r"arm64-\1", listing)
    listing = re.sub(r",(\s*,)+", ",", listing)
    listing = re.sub(r",(\s*)\]", r"\1]", listing)
    return re.sub(r"\[(\s*),", r"[\1", listing)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sdk, listing, bindings = map(pathlib.Path, sys.argv[1:])
    library, source = sdk / "usr/lib", bindings / "src"
    stub(library / "libEndpointSecurity.tbd", "/usr/lib/libEndpointSecurity.dylib",
         declared(r"pub fn (es_\w+)\s*\(", source / "client.rs", source / "message.rs"))
    stub(library / "libbsm.tbd", "/usr/lib/libbsm.0.dylib",
         declared(r"pub fn (audit_token_\w+)\s*\(", source / "additional.rs"))
    stub(library / "libobjc.tbd", "/usr/lib/libobjc.A.dylib",
         {f"_{name}" for name in OBJC_FUNCTIONS}, {"NSObject"}, "228")
    stub(library / "libiconv.tbd", "/usr/lib/libiconv.2.dylib",
         {"_iconv", "_iconv_open", "_iconv_close"}, (), "7")
    # objc2 names the framework, because the runtime has no classes without it; nothing is taken from it.
    foundation = "System/Library/Frameworks/Foundation.framework"
    stub(sdk / foundation / "Foundation.tbd", f"/{foundation}/Versions/C/Foundation", version="4000")
    extensions = "System/Library/Frameworks/SystemExtensions.framework"
    stub(sdk / extensions / "SystemExtensions.tbd", f"/{extensions}/Versions/A/SystemExtensions")
    system = library / "libSystem.tbd"
    system.write_text(libsystem(listing.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("libc", "libm", "libpthread", "libdl", "libSystem.B"):
        (library / f"{name}.tbd").symlink_to(system.name)
    (sdk / "SDKSettings.json").write_text(
        '{"CanonicalName":"macosx15.0","Version":"15.0","MaximumDeploymentTarget":"15.0.99"}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
