//! CPU time and memory of a process, from `proc(5)`.

use std::fs;

use crate::Outcome;

/// CPU time of all threads so far, in nanoseconds.
///
/// `stat` counts ticks of 10 ms, too coarse for requests of microseconds; `schedstat` counts nanoseconds.
pub(crate) fn cpu_nanoseconds(process: u32) -> Outcome<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_cpu = text.split_ascii_whitespace().next().ok_or("schedstat is empty")?;
        total += on_cpu.parse::<u64>()?;
    }
    Ok(total)
}

/// Peak memory so far (`VmHWM`), in KiB.
pub(crate) fn peak_memory_kib(process: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches("kB").trim().parse()?)
}
