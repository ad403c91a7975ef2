//! INFO: figures of the running server, in Redis' sections and one of our own.

use super::config::show_fsync;
use super::connection::REDIS_VERSION;
use super::tree::Lag;
use super::{full_name, is};
use crate::base::sys;
use crate::command::profile::Calls;
use crate::command::table::{LOADING, NO_KEY, STALE, row};
use crate::command::{Command, Cx, Db, Done, Need, Result};
use crate::layout::op::DATABASES;
use std::fmt::Write;

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] =
    &[row("info", -1, NO_KEY, LOADING.and(STALE), info, "[section [section ...]]")
        .doc("server", "1.0.0", "Replies with figures of the server.")
        .categories(&["dangerous"])
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])];

/// Writes the lines of a section.
type Section = fn(&mut String, &Cx<'_, '_>) -> std::fmt::Result;

/// Sections in the order in which they are written.
const SECTIONS: &[(&str, Section)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Commandstats", commandstats),
    ("Errorstats", errorstats),
    ("Latencystats", latencystats),
    ("Cluster", |out, _| out.write_str("cluster_enabled:0\r\n")),
    ("Keyspace", keyspace),
    ("dredis", dredis),
];

/// Sections that are only written where they or all are asked for.
const NOT_BY_DEFAULT: [&str; 2] = ["Commandstats", "Latencystats"];

/// Replies with the sections that are named; without a name, with all of them.
fn info(cx: &mut Cx<'_, '_>) -> Result {
    let names = cx.args.skip(1);
    let asked = |word: &str| names.iter().any(|name| is(name, word));
    let everything = asked("all") || asked("everything");
    let default = names.is_empty() || asked("default");
    let wanted = |section: &str| {
        everything || asked(section) || (default && !NOT_BY_DEFAULT.contains(&section))
    };
    let chosen: Vec<_> = SECTIONS.iter().filter(|(section, _)| wanted(section)).collect();
    if chosen.iter().any(|(name, _)| *name == "Keyspace") {
        count_keys(cx)?;
    }
    let mut out = String::new();
    for (name, section) in chosen {
        let separator = if out.is_empty() { "" } else { "\r\n" };
        write!(out, "{separator}# {name}\r\n").expect("a string takes any text");
        section(&mut out, cx).expect("a string takes any text");
    }
    cx.reply.verbatim("txt", out.as_bytes());
    Ok(Done)
}

/// Waits until the number of keys of each database is known.
fn count_keys(cx: &mut Cx<'_, '_>) -> Result<()> {
    let unknown = (0..DATABASES).find(|db| cx.keys.sizes.known(*db).is_none());
    match (unknown, cx.grant.take()) {
        (_, Some(crate::command::Grant::Failed(error))) => Err(error.into()),
        (Some(db), _) => {
            let db = cx.keys.place(db).unwrap_or(db);
            Err(crate::command::Stop::Park(Need::Count { db }))
        }
        (None, _) => Ok(()),
    }
}

fn server(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let (server, uname) = (&cx.server, rustix::system::uname());
    let uptime_s = server.now_ms.saturating_sub(server.started_ms) / 1000;
    write!(
        out,
        "redis_version:{REDIS_VERSION}\r\ndredis_version:{}\r\nredis_git_sha1:00000000\r\n\
         redis_git_dirty:0\r\nredis_mode:standalone\r\nos:{} {} {}\r\narch_bits:{}\r\n\
         monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\nprocess_id:{}\r\n\
         process_supervised:no\r\nrun_id:{}\r\n\
         tcp_port:{}\r\nserver_time_usec:{}\r\nuptime_in_seconds:{uptime_s}\r\n\
         uptime_in_days:{}\r\nexecutable:{}\r\nconfig_file:\r\nio_threads_active:0\r\n",
        env!("CARGO_PKG_VERSION"),
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        usize::BITS,
        std::process::id(),
        server.run_id,
        server.config.port,
        server.now_us,
        uptime_s / 86_400,
        std::env::current_exe().unwrap_or_default().display(),
    )
}

fn clients(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let clients = &cx.clients;
    let largest = |bytes: fn(&crate::command::client::Client) -> usize| {
        clients.iter().map(bytes).max().unwrap_or(0)
    };
    write!(
        out,
        "connected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\n\
         client_recent_max_input_buffer:{}\r\nclient_recent_max_output_buffer:{}\r\n\
         blocked_clients:{}\r\ntracking_clients:0\r\nclients_in_timeout_table:0\r\n",
        clients.len(),
        cx.server.config.maxclients,
        largest(|client| client.input_bytes.iter().sum()),
        largest(|client| client.output_bytes),
        clients.iter().filter(|client| client.blocked).count(),
    )
}

/// `used_memory` is what the kernel says is resident; `used_memory_dataset` is what the cache and
/// the backlog account for.
fn memory(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let status = read_process_file("status");
    let [rss, peak] = ["VmRSS:", "VmHWM:"].map(|field| kilobytes(&status, field));
    let dataset = (cx.keys.cache_bytes() + cx.keys.backlog.bytes()) as u64;
    let machine = rustix::system::sysinfo();
    let machine = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
    let scripts = cx.server.scripts.bytes() as u64;
    let buffers = |client: &crate::command::client::Client| {
        client.input_bytes.iter().sum::<usize>() + client.output_bytes
    };
    let clients: usize = cx.clients.iter().map(buffers).sum();
    let mut row =
        |name: &str, bytes: u64| write!(out, "{name}:{bytes}\r\n{name}_human:{}\r\n", human(bytes));
    row("used_memory", rss)?;
    row("used_memory_rss", rss)?;
    row("used_memory_peak", peak)?;
    row("total_system_memory", machine)?;
    row("used_memory_lua", scripts)?;
    row("used_memory_scripts", scripts)?;
    row("maxmemory", 0)?;
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    write!(
        out,
        "used_memory_peak_perc:{:.2}%\r\nused_memory_overhead:{}\r\n\
         used_memory_dataset:{dataset}\r\nused_memory_dataset_perc:{:.2}%\r\n\
         number_of_cached_scripts:{}\r\nnumber_of_functions:0\r\nnumber_of_libraries:0\r\n\
         maxmemory_policy:noeviction\r\nmem_fragmentation_ratio:1.00\r\n\
         mem_fragmentation_bytes:0\r\nmem_clients_normal:{clients}\r\nmem_clients_slaves:0\r\n\
         mem_allocator:mimalloc\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\n",
        percent(rss, peak),
        rss.saturating_sub(dataset),
        percent(dataset, rss),
        cx.server.scripts.len(),
    )
}

fn persistence(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let server = &cx.server;
    let status = if server.refusing.is_none() { "ok" } else { "err" };
    let unsaved = cx.keys.backlog.issued().saturating_sub(server.checkpoint);
    write!(
        out,
        "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:{unsaved}\r\n\
         rdb_bgsave_in_progress:0\r\nrdb_last_save_time:{}\r\nrdb_last_bgsave_status:ok\r\n\
         rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\n\
         rdb_last_cow_size:0\r\naof_enabled:1\r\n\
         aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n\
         aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n\
         aof_last_bgrewrite_status:ok\r\naof_last_write_status:{status}\r\n\
         aof_current_size:{}\r\naof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\n\
         module_fork_last_cow_size:0\r\n",
        server.checkpoint_ms / 1000,
        server.journal.bytes_live,
    )
}

fn stats(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let (stats, figures) = (&cx.server.stats, &cx.keys.figures);
    write!(
        out,
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
         instantaneous_ops_per_sec:{}\r\ntotal_net_input_bytes:{}\r\n\
         total_net_output_bytes:{}\r\nrejected_connections:{}\r\nsync_full:0\r\n\
         sync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:{}\r\nevicted_keys:0\r\n\
         keyspace_hits:{}\r\nkeyspace_misses:{}\r\npubsub_channels:0\r\npubsub_patterns:0\r\n\
         pubsubshard_channels:0\r\nlatest_fork_usec:0\r\ntotal_forks:0\r\n\
         tracking_total_keys:0\r\ntracking_total_items:0\r\ntracking_total_prefixes:0\r\n\
         unexpected_error_replies:0\r\ntotal_error_replies:{}\r\n\
         total_reads_processed:{}\r\ntotal_writes_processed:{}\r\n\
         instantaneous_input_kbps:{:.2}\r\ninstantaneous_output_kbps:{:.2}\r\n",
        stats.connections,
        stats.commands,
        stats.commands_per_s,
        stats.bytes_in,
        stats.bytes_out,
        stats.rejected,
        figures.expired,
        figures.hits,
        figures.misses,
        stats.errors,
        stats.reads,
        stats.writes,
        stats.bytes_per_s[0] as f64 / 1024.0,
        stats.bytes_per_s[1] as f64 / 1024.0,
    )
}

fn replication(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    write!(
        out,
        "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n\
         master_replid:{}\r\nmaster_replid2:{:040}\r\nmaster_repl_offset:{}\r\n\
         second_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\n\
         repl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n",
        cx.server.run_id,
        0,
        cx.keys.backlog.issued(),
    )
}

fn cpu(out: &mut String, _: &Cx<'_, '_>) -> std::fmt::Result {
    let [system, user, system_here, user_here] = {
        let ([a, b], [c, d]) = (sys::processor_us(false), sys::processor_us(true));
        [a, b, c, d].map(|us| us as f64 / 1e6)
    };
    write!(
        out,
        "used_cpu_sys:{system:.6}\r\nused_cpu_user:{user:.6}\r\n\
         used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n\
         used_cpu_sys_main_thread:{system_here:.6}\r\n\
         used_cpu_user_main_thread:{user_here:.6}\r\n",
    )
}

/// Commands that were called or refused, by full name.
fn called(cx: &Cx<'_, '_>) -> Vec<(String, Calls)> {
    let commands = cx.server.profile.commands();
    let mut called: Vec<_> =
        commands.map(|(command, calls)| (full_name(command), calls.clone())).collect();
    called.sort_by(|a, b| a.0.cmp(&b.0));
    called
}

fn commandstats(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    for (name, calls) in called(cx) {
        let mean = calls.us as f64 / calls.count.max(1) as f64;
        write!(
            out,
            "cmdstat_{name}:calls={},usec={},usec_per_call={mean:.2},rejected_calls={},\
             failed_calls={}\r\n",
            calls.count, calls.us, calls.rejected, calls.failed,
        )?;
    }
    Ok(())
}

fn errorstats(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    for (code, count) in cx.server.profile.errors() {
        write!(out, "errorstat_{}:count={count}\r\n", String::from_utf8_lossy(code))?;
    }
    Ok(())
}

fn latencystats(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    for (name, calls) in called(cx).into_iter().filter(|(_, calls)| calls.count > 0) {
        let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| calls.percentile(percent));
        write!(
            out,
            "latency_percentiles_usec_{name}:p50={p50}.000,p99={p99}.000,p99.9={p999}.000\r\n",
        )?;
    }
    Ok(())
}

/// How many keys have a deadline is not counted: `expires` and `avg_ttl` are always 0.
fn keyspace(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let size = |db: Db| cx.keys.sizes.known(db).unwrap_or(0);
    for db in (0..DATABASES).filter(|db| size(*db) > 0) {
        write!(out, "db{db}:keys={},expires=0,avg_ttl=0\r\n", size(db))?;
    }
    Ok(())
}

fn dredis(out: &mut String, cx: &Cx<'_, '_>) -> std::fmt::Result {
    let server = &cx.server;
    let lag = Lag::of(cx.keys, server);
    write!(
        out,
        "root_dir:{}\r\nfsync:{}\r\nbacklog_bytes:{}\r\nbacklog_bytes_max:{}\r\n\
         backlog_drain_ms:{}\r\nbatches_issued:{}\r\nbatches_durable:{}\r\n\
         batches_applied:{}\r\nbatches_checkpointed:{}\r\nlag_batches:{}\r\n\
         apply_bytes_per_s:{}\r\ncheckpoints:{}\r\n",
        server.root,
        show_fsync(server),
        lag.backlog_bytes,
        server.config.backlog_bytes,
        lag.drain_ms,
        lag.issued,
        lag.durable,
        lag.applied,
        lag.checkpointed,
        lag.batches,
        server.stats.apply_bytes_per_s,
        server.stats.checkpoints,
    )?;
    let (journal, stats, figures) = (&server.journal, &server.stats, &cx.keys.figures);
    write!(
        out,
        "journal_bytes:{}\r\njournal_bytes_pinned:{}\r\njournal_bytes_room:{}\r\n\
         journal_segments:{}\r\njournal_groups:{}\r\njournal_sync_us:{}\r\n\
         journal_replayed:{}\r\n",
        journal.bytes_live,
        journal.bytes_pinned,
        journal.bytes_room,
        journal.segments,
        stats.groups,
        stats.sync_us,
        stats.replayed,
    )?;
    write!(
        out,
        "cache_bytes:{}\r\ncache_bytes_max:{}\r\ncache_keys:{}\r\ncache_evicted_bytes:{}\r\n\
         loads_at_once:{}\r\nloads_parked:{}\r\nfilter_complete:{}\r\n\
         disk_bytes_free:{}\r\ndisk_inodes_free:{}\r\nwrites_refused:{}\r\n\
         refusing_writes:{}\r\nbackup:{}\r\n",
        cx.keys.cache_bytes(),
        server.config.cache_bytes,
        cx.keys.cached(),
        figures.evicted_bytes,
        figures.loads_at_once,
        figures.loads_parked,
        u8::from(cx.keys.is_filter_complete()),
        server.space.bytes_free,
        server.space.inodes_free,
        stats.refused,
        server.refusing.as_deref().unwrap_or("no"),
        server.backup.as_ref().map_or("none", |backup| &backup.id),
    )
}

/// One of the kernel's files on this process; empty where there is none.
fn read_process_file(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default()
}

/// A field of `/proc/self/status`, in bytes.
fn kilobytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Bytes as Redis shows them to people.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => format!("{:.2}{letter}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}
