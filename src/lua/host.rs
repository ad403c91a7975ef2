//! What a script asks of the server: [`Host`], and how the questions travel.

use crate::resp::{OwnedArgs, Protocol};

/// The server, as scripts see it.
pub trait Host {
    /// Runs a command and gives its reply in `protocol`.
    fn call(&mut self, args: OwnedArgs, protocol: Protocol) -> Called;

    /// Whether the user may run this command; nothing where there is no such command.
    fn may_call(&mut self, args: OwnedArgs) -> Option<bool>;

    /// Asked about every millisecond while a script runs: with false it ends.
    fn proceed(&mut self) -> bool;

    /// A line that the script wants in the server's log.
    fn log(&mut self, level: LogLevel, text: &[u8]);
}

/// How a command ended that a script called.
#[derive(Debug)]
pub enum Called {
    /// With this reply: the very bytes that a client would be sent.
    Reply(Vec<u8>),
    /// The script is to end now. Nothing in it can prevent that.
    Stop,
}

/// The levels of `redis.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

/// A question on its way to the host: all but commands, which take the shortest way.
pub(super) enum Question {
    MayCall(OwnedArgs),
    Proceed,
    Log(LogLevel, Vec<u8>),
}

/// What the host said.
pub(super) enum Answer {
    Permission(Option<bool>),
    Done,
    Stop,
}

impl Question {
    /// Has the host answer.
    pub(super) fn put_to(self, host: &mut dyn Host) -> Answer {
        match self {
            Question::MayCall(args) => Answer::Permission(host.may_call(args)),
            Question::Proceed if host.proceed() => Answer::Done,
            Question::Proceed => Answer::Stop,
            Question::Log(level, text) => {
                host.log(level, &text);
                Answer::Done
            }
        }
    }
}
