//! What commands reply in, what scripts see of it, and what clients are sent.

use super::*;

const BOTH: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// A script's result as both clients see it.
fn check_client(script: &str, resp2: &str, resp3: &str) {
    for (protocol, expect) in BOTH.into_iter().zip([resp2, resp3]) {
        let mut lua = Interpreter::new(64 << 20);
        let reply = eval(&mut lua, &mut Fake::default(), protocol, script.as_bytes());
        assert_eq!(String::from_utf8_lossy(&reply), expect, "{script} {protocol:?}");
    }
}

#[test]
fn results_are_written_in_the_protocol_of_the_client() {
    check_client("return {true, false}", "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n");
    let both = "redis.setresp(3) return {true, false}";
    check_client(both, "*2\r\n:1\r\n:0\r\n", "*2\r\n#t\r\n#f\r\n");
    check_client("return nil", "$-1\r\n", "_\r\n");
    check_client("return {double = 1.5}", "$3\r\n1.5\r\n", ",1.5\r\n");
    check_client("return {double = 1/0}", "$3\r\ninf\r\n", ",inf\r\n");
    check_client("return {map = {a = 1}}", "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n");
    check_client("return {set = {a = true}}", "*1\r\n$1\r\na\r\n", "~1\r\n$1\r\na\r\n");
    check_client("return {big_number = '12\\n3'}", "$4\r\n12 3\r\n", "(12 3\r\n");
    let verbatim = "return {verbatim_string = {format = 't', string = 'a\\r\\nb'}}";
    check_client(verbatim, "$4\r\na\r\nb\r\n", "=8\r\nt  :a\r\nb\r\n");
    check_client(
        "return {1, {map = {a = {set = {b = 1}}}}, {double = 2}}",
        "*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n$1\r\n2\r\n",
        "*3\r\n:1\r\n%1\r\n$1\r\na\r\n~1\r\n$1\r\nb\r\n,2\r\n",
    );
}

/// What a script makes of a reply, shown as JSON.
fn check_reply(reply: &str, expect: &str) {
    let script = format!(
        "redis.setresp(3) local value = redis.pcall('raw', {reply:?}) \
         return value == nil and 'nil' or cjson.encode(value)"
    );
    check(&script, &format!("${}\r\n{expect}\r\n", expect.len()));
}

#[test]
fn replies_of_commands_become_values() {
    check_reply(":12345\r\n", "12345");
    check_reply("$5\r\na\0\r\nb\r\n", "\"a\\u0000\\r\\nb\"");
    check_reply("+OK\r\n", "{\"ok\":\"OK\"}");
    check_reply("*3\r\n:0\r\n$-1\r\n*-1\r\n", "[0,false,false]");
    check_reply("*2\r\n*1\r\n:1\r\n*0\r\n", "[[1],{}]");
    check_reply("$-1\r\n", "false");
    check_reply("_\r\n", "nil");
    check_reply("#t\r\n", "true");
    check_reply("#f\r\n", "false");
    check_reply(",3.141\r\n", "{\"double\":3.141}");
    check_reply("(12345678999999999999\r\n", "{\"big_number\":\"12345678999999999999\"}");
    check_reply("%1\r\n$1\r\na\r\n#t\r\n", "{\"map\":{\"a\":true}}");
    check_reply("~1\r\n$1\r\na\r\n", "{\"set\":{\"a\":true}}");
    check("return redis.pcall('raw', '-ONE two\\r\\n')", "-ONE two\r\n");
    check("return redis.pcall('raw', '-ONE\\r\\n')", "-ERR ONE\r\n");
    let verbatim = "redis.setresp(3) return redis.call('raw', '=7\\r\\ntxt:abc\\r\\n')";
    check_client(verbatim, "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n");
}

#[test]
fn arguments_are_bytes_and_numbers_have_no_needless_point() {
    let mut lua = Interpreter::new(64 << 20);
    let mut host = Fake::default();
    let script = b"redis.call('set', 'a\\0\\255', 1, -2.5, 1e15, 1e17, 2^53, 0.1, -0, math.huge)";
    eval(&mut lua, &mut host, Protocol::Resp2, script);
    let args = ["1", "-2.5", "1000000000000000", "100000000000000000", "9007199254740992"];
    let mut expect: Vec<&[u8]> = vec![b"set", b"a\0\xff"];
    expect.extend(args.iter().map(|arg| arg.as_bytes()));
    expect.extend([&b"0.1"[..], b"0", b"inf"]);
    assert_eq!(host.calls, [expect]);
}

#[test]
fn keys_and_arguments_are_bytes_however_many_there_are() {
    let script = b"return {#KEYS, #ARGV, KEYS[1], KEYS[#KEYS], ARGV[1] or '', ARGV[#ARGV] or ''}";
    let mut lua = Interpreter::new(64 << 20);
    for (keys, args) in [(0, 2), (1, 0), (3, 5), (200, 1), (10_000, 10_000)] {
        let name = |kind: &str, index: usize| format!("{kind}{index}\0\r\n");
        let owned = |kind: &str, count| -> OwnedArgs {
            (0..count).map(|index| name(kind, index)).collect()
        };
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        let (all_keys, all_args) = (owned("k", keys), owned("a", args));
        let mut host = Fake::default();
        let ended = lua.open(&mut host, |lua| {
            lua.compile("it", script).expect("a script");
            lua.run("it", [all_keys.args(), all_args.args()], REPLY_MAX, &mut reply)
        });
        assert_eq!(ended, Ended::Replied);
        let mut expect = Vec::new();
        let mut reply = Reply::new(&mut expect, Protocol::Resp2);
        reply.array(if keys == 0 { 2 } else { 6 });
        reply.count(keys);
        reply.count(args);
        if keys > 0 {
            for (kind, count) in [("k", keys), ("a", args)] {
                for index in [0, count.wrapping_sub(1)] {
                    let name = if count == 0 { String::new() } else { name(kind, index) };
                    reply.bulk(name.as_bytes());
                }
            }
        }
        assert_eq!(out.escape_ascii().to_string(), expect.escape_ascii().to_string());
    }
}
