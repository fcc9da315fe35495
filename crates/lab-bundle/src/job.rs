//! The state of a launchd job, read from what `launchctl print` says.

use serde_json::Value;

/// The namespace in which the kernel ends an Endpoint Security client.
const ENDPOINT_SECURITY: &str = "ENDPOINTSECURITY";
/// Its code for a deadline that passed without an answer.
const DEADLINE_MISSED: i64 = 2;

/// What `launchctl print` says of one job: its process, if any, and how the last one ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobState {
    /// The process; `None` when it does not run.
    pub pid: Option<u32>,
    /// How often it was started.
    pub runs: Option<u64>,
    /// Its last exit code; `None` when it never exited by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it last.
    pub signal: Option<i32>,
}

impl JobState {
    /// Reads what `launchctl print` says.
    ///
    /// Apple calls that output no interface, so every line is taken as a hint: what is not understood is
    /// left out, and never guessed.
    #[must_use]
    pub fn parse(text: &str) -> JobState {
        let mut state = JobState::default();
        for line in text.lines() {
            // One tab: the job itself. Deeper lines belong to its parts, and have keys of the same names.
            let Some(line) = line.strip_prefix('\t').filter(|line| !line.starts_with('\t')) else { continue };
            let Some((key, value)) = line.split_once(" = ") else { continue };
            match key {
                "pid" => state.pid = value.parse().ok(),
                "runs" => state.runs = value.parse().ok(),
                // Newer systems add the name of the code: "78: EX_CONFIG".
                "last exit code" => {
                    state.exit_code = value.split(':').next().and_then(|code| code.parse().ok())
                }
                "last terminating signal" => {
                    state.signal = value.rsplit(": ").next().and_then(|number| number.parse().ok());
                }
                _ => {}
            }
        }
        state
    }
}

/// Why a client's process ended, as its crash report says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The kernel killed it, because an event had no answer at its deadline.
    DeadlineMissed,
    /// The kernel or another process ended it for another reason.
    Other {
        /// Who counts the codes: `SIGNAL`, `CODESIGNING`, `JETSAM`, …
        namespace: String,
        /// The code there: the signal's number for `SIGNAL`.
        code: i64,
    },
}

/// One crash report: whose end it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// The process that ended.
    pub pid: u32,
    /// The program's name.
    pub name: String,
    /// Why it ended.
    pub death: Death,
}

impl CrashReport {
    /// Reads an `.ips` file of `/Library/Logs/DiagnosticReports`: one line of JSON, then a JSON object.
    ///
    /// `None` when it is none, or says nothing of a termination.
    #[must_use]
    pub fn parse(text: &str) -> Option<CrashReport> {
        let (_header, body) = text.split_once('\n')?;
        let body: Value = serde_json::from_str(body).ok()?;
        let termination = body.get("termination")?;
        let namespace = termination.get("namespace")?.as_str()?.to_owned();
        let code = termination.get("code")?.as_i64()?;
        let death = if namespace == ENDPOINT_SECURITY && code == DEADLINE_MISSED {
            Death::DeadlineMissed
        } else {
            Death::Other { namespace, code }
        };
        let pid = u32::try_from(body.get("pid")?.as_u64()?).ok()?;
        Some(CrashReport { pid, name: body.get("procName")?.as_str()?.to_owned(), death })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "system/com.example.lab.alpha = {\n\tactive count = 1\n\tpath = /Library/LaunchDaemons/com.example.lab.alpha.plist\n\ttype = LaunchDaemon\n\tstate = running\n\n\tprogram = /lab/alpha.app/Contents/MacOS/alpha\n\targuments = {\n\t\tpid = 7\n\t}\n\n\truns = 3\n\tpid = 4711\n\tlast exit code = (never exited)\n\n\tspawn type = interactive (4)\n}\n";

    #[test]
    fn a_running_job_is_read() {
        let expected = JobState { pid: Some(4711), runs: Some(3), exit_code: None, signal: None };
        assert_eq!(JobState::parse(RUNNING), expected);
    }

    #[test]
    fn the_end_of_a_job_is_read() {
        let killed = RUNNING
            .replace("\tpid = 4711\n", "")
            .replace("last exit code = (never exited)", "last terminating signal = Killed: 9");
        let expected = JobState { pid: None, runs: Some(3), exit_code: None, signal: Some(9) };
        assert_eq!(JobState::parse(&killed), expected);
        let exited = RUNNING.replace("(never exited)", "78: EX_CONFIG");
        assert_eq!(JobState::parse(&exited).exit_code, Some(78));
        assert_eq!(JobState::parse("Could not find service \"x\" in domain for system"), JobState::default());
    }

    fn report(namespace: &str, code: i64) -> String {
        format!(
            "{{\"app_name\":\"alpha\",\"bug_type\":\"309\"}}\n{{\n  \"pid\" : 4711,\n  \"procName\" : \"alpha\",\n  \"termination\" : {{\"flags\":6,\"code\":{code},\"namespace\":\"{namespace}\"}}\n}}\n"
        )
    }

    #[test]
    fn a_deadline_kill_is_told_from_any_other_end() {
        let death = |namespace: &str, code| CrashReport::parse(&report(namespace, code)).unwrap().death;
        assert_eq!(death("ENDPOINTSECURITY", 2), Death::DeadlineMissed);
        let other = |namespace: &str, code| Death::Other { namespace: namespace.to_owned(), code };
        assert_eq!(death("ENDPOINTSECURITY", 1), other("ENDPOINTSECURITY", 1));
        assert_eq!(death("SIGNAL", 2), other("SIGNAL", 2));
        assert_eq!(CrashReport::parse(&report("SIGNAL", 9)).unwrap().pid, 4711);
    }

    #[test]
    fn other_texts_are_no_crash_report() {
        for text in ["", "{}", "{}\n{}", "{}\n{\"termination\":{}}", "one\ntwo"] {
            assert_eq!(CrashReport::parse(text), None, "{text}");
        }
    }
}
