//! Scripts beside others: who is told what while one runs for long, and what remains of it.

use crate::support::machine::{Machine, Setup};
use dredis::command::client::ClientId;
use dredis::disk::sim::{Cut, SimDisk, SimSettings};
use std::sync::Arc;

const ENDLESS: &str = "EVAL \"redis.call('set','a','2') redis.call('sadd','s','x') \
     while true do redis.call('incr','n') end\" 0\n";
const BUSY: &str = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or \
     SHUTDOWN NOSAVE. ";
const KILLED: &str = "-ERR Script killed by user with SCRIPT KILL... ";

struct Server {
    machine: Machine,
    disk: SimDisk,
}

impl Server {
    fn start(disk: SimDisk) -> Server {
        let machine = Machine::start(Arc::new(disk.clone()), &Setup::default()).expect("a start");
        Server { machine, disk }
    }

    fn new() -> Server {
        Server::start(SimDisk::new(SimSettings::default()))
    }

    /// Sends requests and answers what is replied until nothing is left to do but a script.
    fn ask(&mut self, client: ClientId, requests: &str) -> String {
        self.machine.send_bytes(client, requests.replace('\n', "\r\n").as_bytes());
        if !self.machine.engine.server.scripts.busy {
            assert!(self.machine.settle());
        }
        String::from_utf8(self.machine.receive(client)).expect("text").replace("\r\n", " ")
    }

    /// A script that never ends, and of which others know.
    fn begin_endless(&mut self) -> ClientId {
        let client = self.machine.connect();
        assert_eq!(self.ask(client, "CONFIG SET busy-reply-threshold 1\nSET a 1\n"), "+OK +OK ");
        assert_eq!(self.ask(client, ENDLESS), "");
        assert!(self.machine.engine.server.scripts.busy);
        client
    }

    /// What is there when the machine stops at once.
    fn after_a_cut(self) -> String {
        let mut server = Server::start(self.disk.cut(Cut::Nothing));
        let client = server.machine.connect();
        server.ask(client, "GET a\nEXISTS s n\n")
    }
}

#[test]
fn a_script_that_was_killed_leaves_nothing() {
    let mut server = Server::new();
    let client = server.begin_endless();
    let other = server.machine.connect();
    assert_eq!(server.ask(other, "GET a\nPING\nMULTI\n"), [BUSY, BUSY, "+OK "].concat());
    assert_eq!(server.ask(other, "INCR a\nDISCARD\n"), [BUSY, "+OK "].concat());
    assert_eq!(server.ask(client, "GET a\n"), "");
    assert_eq!(server.ask(other, "SCRIPT KILL\n"), "+OK ");
    assert_eq!(server.ask(client, ""), [KILLED, "$1 1 "].concat());
    let look = "GET a\nEXISTS s n\nSCRIPT KILL\n";
    let expect = "$1 1 :0 -NOTBUSY No scripts in execution right now. ";
    assert_eq!(server.ask(other, look), expect);
    assert_eq!(server.after_a_cut(), "$1 1 :0 ");
}

#[test]
fn a_script_ends_with_its_client() {
    let mut server = Server::new();
    let client = server.begin_endless();
    let (leaving, other) = (server.machine.connect(), server.machine.connect());
    server.machine.engine.disconnect(leaving);
    server.machine.engine.disconnect(client);
    assert_eq!(server.ask(other, "GET a\nEXISTS s n\n"), "$1 1 :0 ");
    assert_eq!(server.after_a_cut(), "$1 1 :0 ");
}

#[test]
fn a_transaction_with_a_script_that_was_killed_leaves_nothing() {
    let mut server = Server::new();
    let (client, other) = (server.machine.connect(), server.machine.connect());
    server.ask(client, "CONFIG SET busy-reply-threshold 1\nSET a 1\nMULTI\nSET a 3\n");
    assert_eq!(server.ask(client, ENDLESS), "+QUEUED ");
    assert_eq!(server.ask(client, "EXEC\n"), "");
    assert_eq!(server.ask(other, "SCRIPT KILL\n"), "+OK ");
    assert_eq!(server.ask(client, ""), KILLED);
    assert_eq!(server.ask(other, "GET a\nEXISTS s n\n"), "$1 1 :0 ");
    assert_eq!(server.after_a_cut(), "$1 1 :0 ");
}

#[test]
fn a_cut_while_a_script_runs_leaves_nothing_of_it() {
    let mut server = Server::new();
    server.begin_endless();
    assert_eq!(server.after_a_cut(), "$1 1 :0 ");
}

#[test]
fn a_long_script_that_ends_is_one_batch() {
    let mut server = Server::new();
    let client = server.machine.connect();
    server.ask(client, "CONFIG SET busy-reply-threshold 1\n");
    let long = "EVAL \"for i = 1, 3e6 do end redis.call('set','a','2') return 7\" 0\nGET a\n";
    server.machine.send_bytes(client, long.replace('\n', "\r\n").as_bytes());
    while server.machine.engine.server.scripts.busy {
        server.machine.turn();
    }
    assert_eq!(server.ask(client, ""), ":7 $1 2 ");
    assert_eq!(server.after_a_cut(), "$1 2 :0 ");
}

#[test]
fn scripts_that_are_kept_leave_room_for_one_that_runs() {
    let mut server = Server::new();
    let client = server.machine.connect();
    let text = "x".repeat(1 << 20);
    for number in 0..48 {
        let reply = server.ask(client, &format!("EVAL \"return #'{number:02}{text}'\" 0\n"));
        assert_eq!(reply, ":1048578 ");
    }
    let large = "EVAL \"return #string.rep('x', 40 * 1024 * 1024)\" 0\n";
    assert_eq!(server.ask(client, large), ":41943040 ");
}
