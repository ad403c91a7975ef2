//! The first line of a script, `#!lua flags=no-writes,allow-stale`, and what it says.

/// What a script says of itself. All false where its first line says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// There is a first line with flags, if only an empty one: Redis is stricter with such scripts.
    pub shebang: bool,
    /// It only reads.
    pub no_writes: bool,
    /// It may run where there is no memory for more data.
    pub allow_oom: bool,
    /// It may run on a replica that lost its primary.
    pub allow_stale: bool,
    /// It does not run in a cluster.
    pub no_cluster: bool,
    /// Its keys may lie in several slots.
    pub allow_cross_slot_keys: bool,
}

impl Flags {
    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        Some(match name {
            b"no-writes" => &mut self.no_writes,
            b"allow-oom" => &mut self.allow_oom,
            b"allow-stale" => &mut self.allow_stale,
            b"no-cluster" => &mut self.no_cluster,
            b"allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return None,
        })
    }
}

/// The flags of a script and its code. The line's end stays with the code, so that lines keep
/// their numbers. An error is the text of a reply.
pub(super) fn split(body: &[u8]) -> Result<(Flags, &[u8]), Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Ok((Flags::default(), body));
    }
    let Some(end) = body.iter().position(|&byte| byte == b'\n') else {
        return Err(b"ERR Invalid script shebang".to_vec());
    };
    let mut words = body[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err([b"ERR Unexpected engine in script shebang: ", engine].concat());
    }
    let mut flags = Flags { shebang: true, ..Flags::default() };
    for word in words {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err([b"ERR Unknown lua shebang option: ", word].concat());
        };
        for name in names.split(|&byte| byte == b',').filter(|_| !names.is_empty()) {
            match flags.flag(name) {
                Some(flag) => *flag = true,
                None => return Err([b"ERR Unexpected flag in script shebang: ", name].concat()),
            }
        }
    }
    Ok((flags, &body[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: Result<(Flags, &str), &str>) {
        let came = split(body.as_bytes());
        let expect = expect.map(|(flags, code)| (flags, code.as_bytes()));
        assert_eq!(came, expect.map_err(|text| text.as_bytes().to_vec()), "{body}");
    }

    #[test]
    fn the_first_line_is_read() {
        let some = Flags { shebang: true, ..Flags::default() };
        check("return 1", Ok((Flags::default(), "return 1")));
        check("#!lua\nreturn 1", Ok((some, "\nreturn 1")));
        check("#!lua flags=\nreturn 1", Ok((some, "\nreturn 1")));
        let both = Flags { no_writes: true, allow_stale: true, ..some };
        check("#!lua  flags=no-writes,allow-stale \n", Ok((both, "\n")));
        check("#!lua", Err("ERR Invalid script shebang"));
        check("#!python\n", Err("ERR Unexpected engine in script shebang: #!python"));
        check("#!\n", Err("ERR Unexpected engine in script shebang: #!"));
        check("#!lua name=x\n", Err("ERR Unknown lua shebang option: name=x"));
        check("#!lua flags=no\n", Err("ERR Unexpected flag in script shebang: no"));
    }
}
