//! The process as the kernel sees it, under the names that every Prometheus client library uses. Read at each scrape.
//! On systems without `/proc` these lines are left out.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks per second in `/proc`: fixed by the kernel's interface to user space, whatever its own tick is.
const TICKS: f64 = 100.0;

/// Appends what can be read.
pub(super) fn render(page: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let mut line = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    };
    line("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", bytes_of(&status, "VmRSS:"));
    line(
        "process_resident_memory_max_bytes",
        "gauge",
        "Largest resident memory size so far in bytes.",
        bytes_of(&status, "VmHWM:"),
    );
    line("process_cpu_seconds_total", "counter", "User and system CPU time spent in seconds.", cpu_seconds(&stat));
    line(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since the Unix epoch in seconds.",
        start_time(&stat, &boot),
    );
    line("process_open_fds", "gauge", "Number of open file descriptors.", descriptors);
}

/// `VmRSS:      5120 kB` → 5,242,880.
fn bytes_of(status: &str, field: &str) -> Option<f64> {
    let kib: f64 = status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// The field of `/proc/self/stat` with this number, as proc(5) counts them. The program's name (field 2) may hold spaces and
/// parentheses, so fields are counted from the last one.
fn field(stat: &str, number: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_time(stat: &str, boot: &str) -> Option<f64> {
    let booted: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + field(stat, 22)? / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_programs_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 11 12 13 14 15 16 4200 17 18";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(start_time(stat, "cpu 1\nbtime 1000\n"), Some(1042.0));
        assert_eq!(field("no parenthesis", 14), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        assert_eq!(bytes_of("Name:\tx\nVmRSS:\t    5120 kB\n", "VmRSS:"), Some(5_242_880.0));
        assert_eq!(bytes_of("", "VmRSS:"), None);
    }
}
