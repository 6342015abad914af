//! What the process has spent so far: processor time and write calls, read from `/proc/self`.

use std::fs;
use std::time::Duration;

/// A reading of the process's running totals; the difference of two is the cost of what lies between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Processor time of all living threads, in user and kernel mode.
    pub cpu: Duration,
    /// Calls of `write`, `writev` and their kin (`sendto` is not counted by the kernel here).
    pub write_calls: u64,
    /// Calls of `read` and its kin, with the same exception.
    pub read_calls: u64,
}

impl Costs {
    /// Reads the totals now. Threads that have ended are not in it: keep them alive between two readings.
    pub fn now() -> Self {
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        Self { cpu: cpu_of_threads(), write_calls: field(&io, "syscw:"), read_calls: field(&io, "syscr:") }
    }

    /// What was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            write_calls: self.write_calls.saturating_sub(earlier.write_calls),
            read_calls: self.read_calls.saturating_sub(earlier.read_calls),
        }
    }
}

/// The scheduler's own nanosecond count; `/proc/self/stat` has only hundredths of a second.
fn cpu_of_threads() -> Duration {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanoseconds = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

fn field(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_field_is_read_and_a_missing_one_is_zero() {
        assert_eq!(field("rchar: 1\nsyscw: 42\n", "syscw:"), 42);
        assert_eq!(field("rchar: 1\n", "syscw:"), 0);
    }
}
