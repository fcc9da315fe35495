//! The checks over made-up machines: what each says, and what blocks a lab.

use lab_doctor::{
    Consent, Finding, Group, Limit, LinuxFacts, MacFacts, Outcome, PermissionEvents, SignedHow, Weight,
    blocks, examine_linux, examine_mac, may_storm,
};

fn good_linux() -> LinuxFacts {
    let options =
        ["CONFIG_FANOTIFY", "CONFIG_FANOTIFY_ACCESS_PERMISSIONS"].map(|name| (name.into(), "y".into()));
    LinuxFacts {
        release: Some("6.12.1".into()),
        options: Some(options.into()),
        permission_events: PermissionEvents::Granted,
        capabilities: Some(0x1ff_ffff_ffff),
        seccomp: Some(0),
        groups_max: Some(128),
        open_files_max: Limit::At(524_288),
        tasks_max: Limit::Unlimited,
        memory_max: Limit::At(8 << 30),
        milli_cpus_max: Limit::Unlimited,
        cpus: Some(4),
        cpus_online: Some(4),
        governor: None,
        waiting: Vec::new(),
        groups: Some(vec![Group {
            pid: 9,
            name: "listener".into(),
            asks_permission: false,
            marks: String::new(),
        }]),
    }
}

fn good_mac() -> MacFacts {
    MacFacts {
        version: Some("15.4.1\n".into()),
        user: Some("0\n".into()),
        integrity_protection: Some("System Integrity Protection status: disabled.\n".into()),
        boot_arguments: Some("boot-args\tamfi_get_out_of_my_way=1 -v".into()),
        virtual_machine: Some("1\n".into()),
        extensions: Some("0 extension(s)\n".into()),
        entitlements: Some("<plist version=\"1.0\"><dict><key>com.apple.developer.endpoint-security.client</key><true/></dict></plist>".into()),
        full_disk_access: Some(true),
        new_client: Some(0),
        free_slots: Some(40),
    }
}

/// The only finding that is not ok.
fn only(findings: &[Finding]) -> &Finding {
    let bad: Vec<_> = findings.iter().filter(|finding| finding.outcome != Outcome::Ok).collect();
    assert_eq!(bad.len(), 1, "{bad:#?}");
    bad[0]
}

#[track_caller]
fn expect(findings: &[Finding], check: &str, outcome: Outcome, weight: Weight, mend_has: &str) {
    let finding = only(findings);
    assert_eq!((finding.check, finding.outcome, finding.weight), (check, outcome, weight));
    match &finding.mend {
        Some(mend) => assert!(mend.contains(mend_has), "{mend}"),
        None => assert_eq!((mend_has, outcome), ("", Outcome::Unknown), "a failed check says what mends it"),
    }
    assert_eq!(blocks(findings), outcome == Outcome::Failed && weight == Weight::Required);
    assert!(!finding.to_string().contains('\n'), "a finding is one line");
}

#[test]
fn good_machines_have_no_complaint() {
    for findings in [examine_linux(&good_linux(), 3), examine_mac(&good_mac(), SignedHow::AdHoc, 3)] {
        let bad: Vec<_> = findings.iter().filter(|finding| finding.outcome != Outcome::Ok).collect();
        assert_eq!(bad, Vec::<&Finding>::new());
        assert!(!blocks(&findings));
        assert!(findings.iter().all(|finding| finding.mend.is_none()));
    }
}

#[test]
fn a_machine_that_says_nothing_is_unknown_and_blocks_nothing() {
    let linux = examine_linux(&LinuxFacts::default(), 3);
    let mac = examine_mac(&MacFacts::default(), SignedHow::AdHoc, 3);
    for finding in linux.iter().chain(&mac) {
        assert_eq!(finding.outcome, Outcome::Unknown, "{finding}");
    }
    assert!(!blocks(&linux) && !blocks(&mac));
}

#[test]
fn each_linux_check_fails_alone() {
    let with = |change: fn(&mut LinuxFacts)| {
        let mut facts = good_linux();
        change(&mut facts);
        examine_linux(&facts, 3)
    };
    let (required, advised, failed) = (Weight::Required, Weight::Advised, Outcome::Failed);
    let findings = with(|facts| {
        facts.options.as_mut().unwrap().remove("CONFIG_FANOTIFY_ACCESS_PERMISSIONS");
    });
    expect(&findings, "kernel-options", failed, required, "distribution");
    expect(&with(|facts| facts.options = None), "kernel-options", Outcome::Unknown, required, "");
    expect(&with(|facts| facts.capabilities = Some(!(1 << 21))), "capability", failed, required, "sudo");
    let refused = |facts: &mut LinuxFacts| facts.permission_events = PermissionEvents::Refused("no".into());
    expect(&with(refused), "permission-events", failed, required, "checks above");
    let filtered = |facts: &mut LinuxFacts| {
        facts.permission_events = PermissionEvents::Refused("no".into());
        facts.seccomp = Some(2);
    };
    expect(&with(filtered), "permission-events", failed, required, "filter");
    expect(&with(|facts| facts.groups_max = Some(2)), "group-limit", failed, required, "max_user_groups=3");
    expect(&with(|facts| facts.open_files_max = Limit::At(1024)), "open-files", failed, advised, "ulimit");
    expect(&with(|facts| facts.tasks_max = Limit::At(100)), "cgroup-tasks", failed, advised, "to 416");
    expect(&with(|facts| facts.memory_max = Limit::At(1 << 28)), "cgroup-memory", failed, advised, "608 MiB");
    expect(&with(|facts| facts.milli_cpus_max = Limit::At(1_500)), "processors", failed, advised, "cpu.max");
    let saving = |facts: &mut LinuxFacts| facts.governor = Some("powersave".into());
    expect(&with(saving), "cpu-clock", failed, advised, "performance");
    let product = |facts: &mut LinuxFacts| {
        facts.groups = Some(vec![Group {
            pid: 77,
            name: "guardd".into(),
            asks_permission: true,
            marks: "class content, asked about open on mount /".into(),
        }]);
    };
    expect(&with(product), "other-groups", failed, advised, "stop guardd");
    let waited_for = |facts: &mut LinuxFacts| {
        facts.groups =
            Some(vec![Group { pid: 77, name: "guardd".into(), asks_permission: true, marks: "all".into() }]);
        facts.waiting = vec!["cat (12)".into(), "sh (9)".into()];
    };
    let findings = with(waited_for);
    let found = &findings.iter().find(|finding| finding.check == "other-groups").unwrap().found;
    assert!(found.contains("guardd (77; all); 2 threads wait in them now: cat (12), sh (9)"), "{found}");
}

#[test]
fn each_mac_check_fails_alone() {
    let with = |change: fn(&mut MacFacts)| {
        let mut facts = good_mac();
        change(&mut facts);
        examine_mac(&facts, SignedHow::AdHoc, 3)
    };
    let (required, advised, failed) = (Weight::Required, Weight::Advised, Outcome::Failed);
    expect(&with(|facts| facts.version = Some("12.7.6".into())), "system", failed, required, "13");
    expect(&with(|facts| facts.user = Some("501".into())), "privilege", failed, required, "sudo");
    expect(&with(|facts| facts.virtual_machine = Some("0".into())), "machine", failed, advised, "--i-know");
    let on = |facts: &mut MacFacts| {
        facts.integrity_protection = Some("System Integrity Protection status: enabled.".into());
    };
    expect(&with(on), "sip", failed, required, "csrutil disable");
    let custom = |facts: &mut MacFacts| {
        facts.integrity_protection = Some(
            "System Integrity Protection status: unknown (Custom Configuration).\n\nConfiguration:".into(),
        );
    };
    expect(&with(custom), "sip", Outcome::Unknown, required, "");
    expect(
        &with(|facts| facts.boot_arguments = Some(String::new())),
        "amfi",
        Outcome::Unknown,
        advised,
        "nvram",
    );
    let bare =
        |facts: &mut MacFacts| facts.entitlements = Some("<plist version=\"1.0\"><dict/></plist>".into());
    expect(&with(bare), "entitlement", failed, required, "lab bundle");
    expect(
        &with(|facts| facts.full_disk_access = Some(false)),
        "full-disk-access",
        failed,
        required,
        "Settings",
    );
    expect(&with(|facts| facts.new_client = Some(3)), "es-new-client", failed, required, "entitlements");
    expect(&with(|facts| facts.new_client = Some(4)), "es-new-client", failed, required, "Full Disk Access");
    expect(&with(|facts| facts.new_client = Some(6)), "es-new-client", failed, required, "fewer clients");
    expect(&with(|facts| facts.free_slots = Some(2)), "client-slots", failed, required, "fewer");
    let product = |facts: &mut MacFacts| {
        facts.extensions = Some("--- com.apple.system_extension.endpoint_security\n*\t*\tT\tcom.other.guard (1)\tg\t[activated enabled]\n".into());
    };
    expect(&with(product), "foreign-clients", failed, advised, "external");
}

#[test]
fn a_developer_id_needs_neither_sip_off_nor_a_boot_argument() {
    let facts = MacFacts {
        integrity_protection: Some("System Integrity Protection status: enabled.".into()),
        boot_arguments: Some(String::new()),
        ..good_mac()
    };
    let findings = examine_mac(&facts, SignedHow::DeveloperId, 3);
    assert!(findings.iter().all(|finding| finding.outcome == Outcome::Ok));
}

#[test]
fn bare_metal_is_stormed_only_by_those_who_know() {
    let on = |machine: Option<&str>| MacFacts { virtual_machine: machine.map(str::to_owned), ..good_mac() };
    assert!(may_storm(&on(Some("1")), Consent::No).is_ok());
    for machine in [Some("0"), None, Some("?")] {
        let refusal = may_storm(&on(machine), Consent::No).unwrap_err();
        assert!(refusal.mend.unwrap().contains("--i-know"));
        assert!(may_storm(&on(machine), Consent::IKnow).is_ok());
    }
}

#[test]
fn a_finding_is_one_line() {
    let findings = examine_linux(&LinuxFacts { capabilities: Some(0), ..good_linux() }, 3);
    assert_eq!(
        only(&findings).to_string(),
        "failed   capability          CAP_SYS_ADMIN is absent; to mend it: start the lab with sudo (in a container: --cap-add SYS_ADMIN)"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn this_machine_says_who_it_is() {
    let facts = LinuxFacts::gather();
    assert!(facts.release.is_some() && facts.capabilities.is_some() && facts.groups.is_some());
    assert!(facts.cpus.unwrap() > 0);
    assert_ne!(facts.open_files_max, Limit::Unknown);
    assert_ne!(facts.permission_events, PermissionEvents::NotTried);
}

#[test]
fn what_a_probe_printed_becomes_facts() {
    let of = |printed: &str| {
        let facts = MacFacts::default().probed(printed);
        (facts.new_client, facts.free_slots)
    };
    assert_eq!(of("64 connected\n"), (Some(0), Some(64)));
    let refused = |connected: u32, code: u32| {
        let refused = Some(lab_backend_es::NewClientResult::from_code(code));
        lab_backend_es::Probed { connected, refused }.to_string()
    };
    assert_eq!(of(&refused(45, 6)), (Some(0), Some(45)));
    assert_eq!(of(&refused(0, 6)), (Some(6), Some(0)));
    assert_eq!(of(&refused(0, 4)), (Some(4), None));
    assert_eq!(of("Killed: 9"), (None, None));
}
