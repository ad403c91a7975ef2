//! The scripts of the crash tests: short, each after one hazard. A line is a step:
//!
//! | line | does |
//! |---|---|
//! | `SET a 1` | a writer sends a request; each is one batch |
//! | `5x SET k$ v` | the same so many times, `$` is the number |
//! | `? a` | a reader sends GET |
//! | `+ 50` | milliseconds go by |
//! | `=` | waits until everything is in the tree and synced |
//! | `restart` | the program ends without a word and starts again |
//! | `! cold 60` | the disk's caches answer so few of 100 reads |
//! | `! cache 4096`, `! backlog 4096` | bytes of the cache, of the backlog's bound |
//! | `! everysec` | DREDIS_FSYNC |
//! | `! refuse NAME` | no directory takes this name |
//! | `! links 3` | hard links an inode can have |
//! | `! full`, `! room` | the disk is full from here on, and no longer |
//!
//! In a request `*300` is a word of 300 bytes that no other request has, `@300` a name of 300
//! bytes, and `ID` what the last BACKUP START replied. Requests are answered in their order, but
//! the next one is sent before that. The deadlines are around 1,700,000,000,000.

/// Name and steps.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("set", "SET a 1\nSET b 2\nSET a 3\nSET c 4\n? a\nSET b 5\nDEL c"),
    ("overwrite", "SET a *40\nSET a *40\n=\nSET a *40\n? a\nSET a *10\nSET a *90\n=\nSET a *8"),
    ("overwrite large", "SET a *5000\n=\nSET a *4000\n? a\nSET a *6000\nSET a *6000\n=\nSET a x"),
    ("append", "SET a *600\n=\nAPPEND a *30\nAPPEND a *700\n? a\nAPPEND a *5\nAPPEND b *9"),
    (
        "append cold",
        "! cold 70\n! cache 4096\nSET a *900\n=\nrestart\nAPPEND a *30\n? a\n\
        APPEND a *600\nSETRANGE a 3 *20\n=\nrestart\nSTRLEN a\nAPPEND a *5",
    ),
    (
        "setrange",
        "SETRANGE a 700 *20\n=\nSETRANGE a 0 *30\nSETRANGE a 690 *40\n? a\n\
        SETRANGE b 5 x\nSETRANGE a 100 *600",
    ),
    (
        "patch of an unsynced value",
        "SET a *1500\nAPPEND a *20\nrestart\nSETRANGE a 700 *9\n=\n\
        SETRANGE a 2 *9\nSETRANGE a 1200 *9\nSET a *3\nAPPEND a *4",
    ),
    ("counters", "INCR n\nINCR n\nINCR m\n=\n5x INCR n\n? n\nINCRBY m 100\nDECR n\nINCR o"),
    ("del", "SET a *90\nSET b *9\n=\nDEL a\n? a\nSET a *30\nDEL a b\nSET b *40"),
    (
        "del and set again",
        "SET a *900\nPEXPIREAT a 1900000000000\n=\nDEL a\nSET a *9\nDEL a\n\
        SET a *700\n? a\n=\nDEL a\nDEL b",
    ),
    (
        "mset",
        "MSET a *9 b *9 c *9\nMSET b *600 c *5 d *700\n? d\nDEL a b\nMSET a *5 b *5\n=\n\
        MSET a *800 b *1 c *800 d *1\nMSETNX e 1 f 2",
    ),
    (
        "rename",
        "SET a *90\nSET b *9\nRENAME a b\n? b\n=\nSET a *700\nRENAME b c\nRENAME a b\n\
        RENAME c a\n=\nRENAME a b\nRENAMENX b d",
    ),
    (
        "copy",
        "SET a *90\nCOPY a b\n=\nSET a *9\nCOPY a b REPLACE\n? b\nCOPY b c\nCOPY c d DB 2\n\
        DEL a\nCOPY c a",
    ),
    (
        "move",
        "SET a *90\nMOVE a 1\n? a\nSET a *9\n=\nSELECT 1\nMOVE a 2\nSELECT 0\nMOVE a 1\n\
        SET b *9\nMOVE b 2\n=\nSELECT 2\nMOVE a 0",
    ),
    (
        "deadlines",
        "SET a 1 PXAT 1900000000000\nSET b 2\nPEXPIREAT b 1900000000001\nPERSIST a\n=\n\
        PERSIST b\nPEXPIREAT a 1900000000002\nSET a 3\nSET b 4 PXAT 1900000000003 \n? a\n\
        GETEX b PERSIST\nSET b 5 KEEPTTL",
    ),
    (
        "expiry",
        "SET a *9 PX 100\nSET b *9 PX 300\nSET c *9 PX 100\n+ 50\n? a\nPERSIST c\n=\n\
        + 200\n? a\nSET a *3\n+ 200\nSET b *5 PX 50\n=\n+ 100\nSET d 1\n? b",
    ),
    (
        "expiry of many",
        "8x SET k$ *9 PX 200\nSET x 1\n=\n+ 100\n3x PERSIST k$\n+ 200\n? k5\n\
        SET x 2\n4x SET k$ *9\n=\nrestart\n+ 1000\nSET y 1",
    ),
    (
        "flushdb",
        "SET a *9\nSET b *9\nFLUSHDB\nSET a *700\n=\nSET c *9\nFLUSHDB\nSET b *9\n? b\n\
        FLUSHDB",
    ),
    (
        "flushall",
        "SET a *9\nSELECT 1\nSET a *9\nSELECT 2\nSET b *9\n=\nFLUSHDB\nSET b *30\n\
        FLUSHALL\nSET c *9\nSELECT 0\nSET a *5\n=\nFLUSHALL\nSET d 1",
    ),
    (
        "flush behind writes",
        "SET a *9\nSET b *9\n=\nSET a *20\nFLUSHALL\nSET a *4\n? a\nDEL a\n\
        APPEND a *5\nFLUSHDB\nMSET a 1 b 2",
    ),
    (
        "large",
        "SET a *9000\nSET b 1\nSET a *14000\n? a\nSET c *5000\nAPPEND a *6000\n=\n\
        SET a *3\nSET b *11000",
    ),
    ("large and small", "3x SET s$ *40\nSET a *7000\n3x SET s$ *40\nDEL a\nSET b *7000\nSET b 1"),
    ("many small", "40x SET k$ *60\n? k3\n30x SET k$ *50\nDEL k1 k2 k3"),
    ("one key for ever", "! backlog 3000\n70x SET k *300\n? k\n20x INCR n"),
    (
        "recycling",
        "! backlog 3000\n16x SET k$ *400\n=\n16x SET k$ *500\n=\n16x SET j$ *400\n? k2\n\
        =\n12x SET k$ *300",
    ),
    (
        "recycling and restarts",
        "! backlog 4000\n12x SET k$ *500\n=\nrestart\n8x SET k$ *700\n\
        restart\n8x SET k$ *600\n=\nrestart\nSET a 1\n? k2",
    ),
    (
        "a full backlog",
        "! backlog 2000\n6x SET k$ *900\n? k2\n6x SET k$ *1500\nDEL k1 k2\n\
        SET k0 *5000\nSET k3 1",
    ),
    ("sync", "SET a *9\nTREE SYNC\nSET a *20\nSET b *9\nTREE SYNC\n? b\nDEL a\nTREE SYNC\nSET a 1"),
    (
        "backup",
        "SET a *9\nBACKUP START\nSET a *20\nSET b *9\n=\n4x SET k$ *900\nBACKUP STOP ID\n\
        SET a 1\n? a\nBACKUP START\nDEL a",
    ),
    (
        "backup and restart",
        "SET a *9\nBACKUP START\n6x SET k$ *900\n=\nrestart\nSET a *20\n? a\n\
        BACKUP START\nSET b 1\nBACKUP STOP ID",
    ),
    (
        "long names",
        "SET @300 *9\nSET @299 *9\n=\nSET @300 *30\nDEL @299\nRENAME @300 @301\n\
        ? @301\nSET @299 *5\n=\nDEL @301\nAPPEND @299 *5",
    ),
    (
        "odd names",
        "SET \"\" *9\nSET .. *9\nSET a/b *9\nSET \"\\x00\\xff\" *9\n=\nDEL \"\"\n\
        RENAME .. .\nSET type *9\nSET %21 *9\nSET value *9\nDEL a/b",
    ),
    (
        "refused names",
        "! refuse bad\n! refuse worse\nSET ok *9\nSET bad *9\nSET bad *30\n=\n\
        ? bad\nSET worse *9\nDEL bad\nSET bad *5\n=\nRENAME bad good\nRENAME ok worse\nFLUSHDB\n\
        SET bad *4",
    ),
    ("refused links", "! links 3\n6x SET k$ *9\n=\nDEL k1 k2\nSET k1 *9\n3x SET j$ *9\n? j1"),
    (
        "restarts",
        "SET a *9\nrestart\nSET b *9\nrestart\nrestart\nDEL a\nSET c *9\n=\nrestart\n\
        SET a *5",
    ),
    (
        "everysec",
        "! everysec\nSET a *9\nSET b *9\n? a\nSET a *40\n+ 1100\nDEL b\nSET c *9\n=\n\
        SET d *9\nSET a *5\n+ 500\nSET b 1\n+ 2000\nDEL a",
    ),
    (
        "everysec behind",
        "! everysec\n! backlog 3000\n12x SET k$ *500\n+ 1100\n? k3\n\
        12x SET k$ *400\nFLUSHDB\nSET k1 *5",
    ),
    (
        "small cache",
        "! cache 3000\n! cold 50\n10x SET k$ *200\n=\n4x APPEND k$ *20\n? k1\n? k7\n\
        3x SETRANGE k$ 100 *9\nCOPY k5 k0 REPLACE\n? k0\nRENAME k8 k1\n? k1",
    ),
    (
        "full disk",
        "SET a *900\nSET b *9\n=\n! full\nSET c *900\nDEL a\nSET b *40\nSET a 1\n? b\n\
        ! room\n+ 500\nSET d *9\nSET a *9\nDEL b",
    ),
    (
        "full disk and restart",
        "6x SET k$ *900\n! full\nSET x 1\nDEL k1\nrestart\nDEL k2\n? k0\n\
        ! room\n+ 500\nSET x 2\nSET k1 *9",
    ),
];
