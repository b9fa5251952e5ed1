//! What a process uses, as the kernel tells it, and figures that a test leaves behind.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};

/// Resident memory in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// The most that it was, in bytes.
pub fn peak(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name} in its status"))?;
    let kib: u64 = line.split_whitespace().next().with_context(|| format!("{name} without a number"))?.parse()?;
    Ok(kib * 1024)
}

/// The time that its threads had a processor, in steps of 10 ms.
pub fn processor(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in its stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse);
    let (user, system): (u64, u64) = times
        .next()
        .zip(times.next())
        .map(|(a, b)| Ok::<_, std::num::ParseIntError>((a?, b?)))
        .context("no times in its stat")??;
    Ok(Duration::from_millis((user + system) * 10))
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
