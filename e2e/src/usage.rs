//! What a process uses, as the kernel tells it, and figures that a test leaves behind.

use std::io::Write;

use anyhow::{Context, Result};

/// Resident memory in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in its status")?;
    let kib: u64 = line.split_whitespace().next().context("VmRSS without a number")?.parse()?;
    Ok(kib * 1024)
}

/// Open sockets.
pub fn sockets(pid: u32) -> Result<usize> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    // One that is closed between the two looks is none.
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// Shows a measured figure past the test harness, which would swallow it.
pub fn figure(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_the_sockets_that_it_opened() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 100_000);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // Other tests of this process have sockets of their own.
        assert!(sockets(pid).unwrap() >= 1, "{listener:?}");
    }
}
