//! Commands on keys of which memory knows little: what they change, and what memory then takes.

use crate::support::machine::{Machine, Setup};
use dredis::command::client::ClientId;
use dredis::disk::sim::{SimDisk, SimSettings};
use std::sync::Arc;

struct Server {
    machine: Machine,
    disk: SimDisk,
    client: ClientId,
}

impl Server {
    fn start(disk: &SimDisk, setup: &Setup) -> Server {
        let mut machine = Machine::start(Arc::new(disk.clone()), setup).expect("a start");
        let client = machine.connect();
        Server { machine, disk: disk.clone(), client }
    }

    /// A server that knows nothing of what these requests left in the tree.
    fn after(requests: &str, setup: &Setup) -> Server {
        let disk = SimDisk::new(SimSettings::default());
        Server::start(&disk, &Setup::default()).ask(requests);
        Server::start(&disk, setup)
    }

    /// Sends requests, a line each, at once, and answers what is replied, lines separated by a
    /// blank.
    fn ask(&mut self, requests: &str) -> String {
        self.machine.send_bytes(self.client, requests.replace('\n', "\r\n").as_bytes());
        assert!(self.machine.settle());
        let reply = self.machine.receive(self.client);
        String::from_utf8(reply).expect("text").replace("\r\n", " ")
    }
}

#[test]
fn a_deadline_that_a_transaction_has_changed_stays_so_when_the_value_is_read() {
    let set = "SET k v PX 5000\nSET e v\n";
    let script = "redis.call('PERSIST','k') redis.call('GET','k') return redis.call('PTTL','k')";
    let mut server = Server::after(set, &Setup::default());
    assert_eq!(server.ask(&format!("EVAL \"{script}\" 0\n")), ":-1 ");
    let queued = "+OK +QUEUED +QUEUED +QUEUED *3 :1 $1 v :100 ";
    assert_eq!(server.ask("MULTI\nEXPIRE e 100\nGET e\nTTL e\nEXEC\n"), queued);
    server.machine.advance(6000);
    assert_eq!(server.ask("EXISTS k\nTTL e\n"), ":1 :94 ");
}

#[test]
fn a_transaction_that_removes_the_last_element_removes_the_key() {
    for (add, remove) in [("SADD", "SREM"), ("HSET", "HDEL")] {
        let value = if add == "HSET" { " v" } else { "" };
        let mut server = Server::after(&format!("{add} k x{value}\n"), &Setup::default());
        let all = format!(
            "{add} k a{value}\n{add} k b{value}\n{remove} k x\nMULTI\n{remove} k a\n\
             {remove} k b\nEXEC\nEXISTS k\n"
        );
        let reply = ":1 :1 :1 +OK +QUEUED +QUEUED *2 :1 :1 :0 ";
        assert_eq!(server.ask(&all), reply, "{remove}");
    }
}

#[test]
fn a_script_that_removes_all_elements_one_by_one_removes_the_key() {
    let members: Vec<String> = (0..1500).map(|number| format!("m{number}")).collect();
    let add = format!("SADD s {}\n", members.join(" "));
    let mut server = Server::after(&add, &Setup::default());
    let script = "for i = 0, 1499 do redis.call('SREM','s','m'..i) end \
                  return redis.call('EXISTS','s')";
    assert_eq!(server.ask(&format!("EVAL \"{script}\" 0\nSCARD s\n")), ":0 :0 ");
}

#[test]
fn a_write_behind_client_pause_in_its_transaction_finds_expired_keys_removed() {
    let mut server = Server::after("SET k v PX 100\n", &Setup::default());
    let other = server.machine.connect();
    assert_eq!(server.ask("CLIENT PAUSE 100000 WRITE\n"), "+OK ");
    server.machine.advance(300);
    let all = b"MULTI\r\nCLIENT PAUSE 500 WRITE\r\nSET k w\r\nEXEC\r\n";
    server.machine.send_bytes(server.client, all);
    server.machine.send_bytes(other, b"CLIENT UNPAUSE\r\n");
    assert!(server.machine.settle());
    let reply = server.machine.receive(server.client);
    assert_eq!(reply, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n");
}

#[test]
fn more_than_the_cache_holds_can_be_asked_for_at_once() {
    let keys: Vec<String> = (0..600).map(|number| format!("k{number}")).collect();
    let value = "v".repeat(500);
    let set: String = keys.iter().map(|key| format!("SET {key} {value}\n")).collect();
    let setup = Setup { cache_bytes: 64 << 10, ..Setup::default() };
    let mut server = Server::after(&set, &setup);
    server.disk.cold(1, 100);
    let reply = server.ask(&format!("MGET {}\n", keys.join(" ")));
    assert!(reply.starts_with("*600 ") && reply.matches(&value).count() == 600);
    // A pipeline in which every command waits keeps nothing of those before.
    let get: String = keys.iter().map(|key| format!("MGET {key} {key}:\n")).collect();
    assert_eq!(server.ask(&get).matches(&value).count(), 600);
    server.machine.advance(100);
    assert!(server.machine.engine.keys.cache_bytes() <= 64 << 10);
}

#[test]
fn a_script_that_looks_many_keys_up_stays_within_the_cache() {
    let setup = Setup { cache_bytes: 64 << 10, ..Setup::default() };
    let mut server = Server::after("SET k v\n", &setup);
    let script = "for i = 1, 5000 do redis.call('EXISTS','nokey:'..i) end \
                  return tonumber(redis.call('INFO','memory'):match('used_memory_dataset:(%d+)'))";
    let reply = server.ask(&format!("EVAL \"{script}\" 0\n"));
    let bytes: usize = reply.trim_matches([':', ' ']).parse().expect("a number");
    assert!(bytes <= 80 << 10, "{bytes} bytes");
}
