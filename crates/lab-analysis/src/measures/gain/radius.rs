//! The mathematics of a matrix without negative entries: its loops, how strong each is, and sums along its ways.

/// Steps of the iteration for the spectral radius.
const STEPS_MAX: usize = 500;

/// Solves `(I - G) x = b` by elimination with pivots; `None` when there is no single answer.
pub(super) fn solve(gain: &[Vec<f64>], b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = gain
        .iter()
        .zip(b)
        .enumerate()
        .map(|(i, (row, &right))| {
            let mut row: Vec<f64> =
                row.iter().enumerate().map(|(j, &gain)| f64::from(u8::from(i == j)) - gain).collect();
            row.push(right);
            row
        })
        .collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-12 {
            return None;
        }
        rows.swap(column, pivot);
        let lead = rows[column].clone();
        for (place, row) in rows.iter_mut().enumerate() {
            let factor = row[column] / lead[column];
            if place != column && factor != 0.0 {
                row.iter_mut().zip(&lead).for_each(|(cell, lead)| *cell -= factor * lead);
            }
        }
    }
    Some((0..n).map(|i| rows[i][n] / rows[i][i]).collect())
}

/// A strongly connected part of a matrix: all that it leads to leads back to it.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    /// The places of its rows and columns, rising.
    pub(super) members: Vec<usize>,
    /// Its largest eigenvalue.
    pub(super) radius: f64,
    /// The eigenvectors to it, by member: `left B = radius left` and `B right = radius right`.
    pub(super) left: Vec<f64>,
    pub(super) right: Vec<f64>,
}

/// The loops of a matrix without negative entries.
pub(super) fn loops(matrix: &[Vec<f64>]) -> Vec<Loop> {
    let n = matrix.len();
    let mut reach: Vec<Vec<bool>> =
        matrix.iter().map(|row| row.iter().map(|&entry| entry > 0.0).collect()).collect();
    for middle in 0..n {
        let through = reach[middle].clone();
        for row in &mut reach {
            if row[middle] {
                row.iter_mut().zip(&through).for_each(|(cell, &also)| *cell |= also);
            }
        }
    }
    let mut done = vec![false; n];
    let mut loops = Vec::new();
    for first in 0..n {
        if done[first] || !reach[first][first] {
            continue;
        }
        let members: Vec<usize> =
            (0..n).filter(|&other| reach[first][other] && reach[other][first]).collect();
        members.iter().for_each(|&member| done[member] = true);
        let block = |turned: bool| -> Vec<Vec<f64>> {
            let cell = |i: usize, j: usize| if turned { matrix[j][i] } else { matrix[i][j] };
            members.iter().map(|&i| members.iter().map(|&j| cell(i, j)).collect()).collect()
        };
        let (radius, right) = irreducible_radius(&block(false));
        let (_, left) = irreducible_radius(&block(true));
        loops.push(Loop { members, radius, left, right });
    }
    loops
}

/// The spectral radius of a matrix without negative entries: the largest over its loops, so that a matrix without one
/// has exactly 0.
pub(super) fn spectral_radius(matrix: &[Vec<f64>]) -> f64 {
    loops(matrix).iter().map(|part| part.radius).fold(0.0, f64::max)
}

/// Iterates `(B + s I) x`, which converges for a strongly connected `B`, until its bounds meet. Gives the largest
/// eigenvalue and its vector.
fn irreducible_radius(block: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let shift = block.iter().flatten().fold(0.0_f64, |most, &entry| most.max(entry));
    let mut vector = vec![1.0 / block.len() as f64; block.len()];
    let mut estimate = 0.0;
    for _ in 0..STEPS_MAX {
        let next: Vec<f64> = block
            .iter()
            .zip(&vector)
            .map(|(row, &own)| row.iter().zip(&vector).map(|(b, x)| b * x).sum::<f64>() + shift * own)
            .collect();
        let ratios = next.iter().zip(&vector).map(|(next, before)| next / before);
        let (low, high) = ratios.fold((f64::INFINITY, 0.0_f64), |(low, high), r| (low.min(r), high.max(r)));
        estimate = f64::midpoint(low, high) - shift;
        if high - low <= 1e-12 * high {
            break;
        }
        let sum: f64 = next.iter().sum();
        vector = next.iter().map(|entry| (entry / sum).max(f64::MIN_POSITIVE)).collect();
    }
    (estimate.max(0.0), vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matrix: &[&[f64]], expect: f64) {
        let matrix: Vec<Vec<f64>> = matrix.iter().map(|row| row.to_vec()).collect();
        let radius = spectral_radius(&matrix);
        assert!((radius - expect).abs() < 1e-9, "{matrix:?}: {radius}, not {expect}");
    }

    #[test]
    fn known_radii() {
        check(&[], 0.0);
        check(&[&[0.0]], 0.0);
        check(&[&[0.7]], 0.7);
        check(&[&[0.5, 0.5], &[0.5, 0.5]], 1.0);
        check(&[&[0.0, 2.0], &[0.5, 0.0]], 1.0);
        check(&[&[0.0, 9.0], &[0.0, 0.0]], 0.0);
        check(&[&[0.2, 9.0], &[0.0, 0.3]], 0.3);
        check(&[&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], &[8.0, 0.0, 0.0]], 2.0);
    }

    #[test]
    fn a_linear_system_is_solved() {
        let gain = vec![vec![0.0, 0.5], vec![0.25, 0.0]];
        let solution = solve(&gain, &[1.0, 2.0]).unwrap();
        assert!((solution[0] - 0.5 * solution[1] - 1.0).abs() < 1e-12);
        assert!((solution[1] - 0.25 * solution[0] - 2.0).abs() < 1e-12);
        assert_eq!(solve(&[vec![1.0]], &[1.0]), None);
    }

    #[test]
    fn a_loop_has_its_eigenvectors() {
        let matrix = vec![vec![0.0, 4.0, 9.0], vec![1.0, 0.0, 0.0], vec![0.0, 0.0, 0.0]];
        let found = loops(&matrix);
        let [only] = &found[..] else { panic!("{found:?}") };
        assert_eq!(only.members, [0, 1]);
        assert!((only.radius - 2.0).abs() < 1e-9);
        assert!((only.right[0] / only.right[1] - 2.0).abs() < 1e-9, "{:?}", only.right);
        assert!((only.left[0] / only.left[1] - 0.5).abs() < 1e-9, "{:?}", only.left);
    }
}
