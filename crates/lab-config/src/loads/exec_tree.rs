use std::fmt::{self, Write};

use lab_model::LoadKind;

use super::Kind;
use crate::{
    diagnostic::Diagnostic,
    limits::Beside,
    read::{At, Problems},
    scalar::Bounded,
};

load! {
    /// Runs trees of processes. Each program runs `fanout` more, `depth` levels deep, and waits for them; every one
    /// is an exec of the workload's, recorded with its own beginning and end.
    #[schemars(rename = "ExecTree")]
    "`exec_tree`" ExecTree {
        /// Programs that each program runs, at the same time.
        #[schemars(extend("default" = 2))]
        fanout [default]: Bounded<1, 100>,
        /// Levels below the root.
        #[schemars(extend("default" = 3))]
        depth [default]: Bounded<0, 8>,
    }
    /// Threads that run trees, each one at a time.
    #[schemars(extend("default" = 1))]
    workers;
    /// How fast, in trees.
    rate;
    /// Stops after this many trees in a phase. Left out, it goes on until the phase ends.
    operations_max;
}

impl Kind for ExecTree {
    const WORKERS: u16 = 1;

    fn resolve(at: &At<ExecTree>, _: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind> {
        let tree = lab_model::ExecTree {
            fanout: at.value.fanout.value().map_or(2, |fanout| fanout.get()),
            depth: at.value.depth.value().map_or(3, |depth| depth.get()),
        };
        if tree.execs() > lab_model::ExecTree::EXECS_MAX {
            let message = format!("a tree of {} programs is more than one machine stands", tree.execs());
            let diagnostic = Diagnostic::new(at.place.clone(), message)
                .label(format!("at most {} in one tree", lab_model::ExecTree::EXECS_MAX))
                .help("lower `fanout` or `depth`");
            problems.add(diagnostic);
        }
        Some(LoadKind::ExecTree(tree))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::ExecTree(tree) = kind else { return Ok(()) };
        writeln!(out, "      fanout: {}", tree.fanout)?;
        writeln!(out, "      depth: {}", tree.depth)
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{ExecTree, LoadKind, Workload};

    use crate::loads::tests::check;

    #[test]
    fn a_tree_of_one_program_is_a_tree() {
        check("exec_tree: {depth: 0}", &Workload::of(LoadKind::ExecTree(ExecTree { fanout: 2, depth: 0 })));
    }
}
