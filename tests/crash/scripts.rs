//! The scripts of the crash tests: short, each after one hazard. A line is a step:
//!
//! | line | does |
//! |---|---|
//! | `SET a 1` | a writer sends a request; each is one batch |
//! | `5x SET k$ v` | the same so many times, `$` is the number |
//! | `? a` | a reader sends GET; `?h`, `?s`, `?z` ask for a whole hash, set, sorted set |
//! | `+ 50` | milliseconds go by |
//! | `=` | waits until everything is in the tree and synced |
//! | `restart` | the program ends without a word and starts again; `stop` ends it in good order |
//! | `cut 7` | a power cut of this seed, and a start; what follows must hide what that took |
//! | `! cold 60` | the disk's caches answer so few of 100 reads |
//! | `! cache 4096`, `! backlog 4096` | bytes of the cache, of the backlog's bound |
//! | `! everysec` | DREDIS_FSYNC |
//! | `! refuse NAME` | no directory takes this name |
//! | `! links 3` | hard links an inode can have |
//! | `! full`, `! room` | the disk is full from here on, and no longer |
//!
//! In a request `*300` is a word of 300 bytes that no other request has, `@300` a name of 300
//! bytes, `#7` the 7th name of 200 bytes, and `ID` what the last BACKUP START replied. What stands
//! in brackets comes more than once: `SADD s 3[m&]` is `SADD s m0 m1 m2`, and `2-4[m&]` is
//! `m2 m3 m4`. Collections of 5 elements, not all in memory, are renamed by a move. Requests are
//! answered in their order, but
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
    (
        "hash",
        "HSET h a *9 b *9\nHSET h a *40 c *5\n?h h\n=\nHDEL h a b\nHSET h a *900\n=\nHSET h a *3\n\
        HDEL h a c\n?h h\nHSET h d *700\nHDEL h d\nHSET h e 1 f \"\"",
    ),
    (
        "set of members",
        "SADD s a b c\nSREM s a\n?s s\n=\nSADD s a d\nSREM s b c d\nSREM s a\n=\nSADD s b\n\
        SADD s @300 .. a/b\n=\nSREM s @300 b\n?s s\nSREM s ..",
    ),
    (
        "sorted set",
        "ZADD z 1 a 2 b 1 c\nZINCRBY z 1.5 a\n?z z\n=\nZADD z 1 b 7 d\nZREM z c\nZINCRBY z 1 b\n=\n\
        ZADD z -3 a 2 d\nZREM z a b\n?z z\nZREM z d\nZADD z 2 e 2 f",
    ),
    (
        "members of one score",
        "ZADD z 1 a 1 b 1 c\n=\nZREM z b\nZADD z 1 d\n=\nZADD z 2 a\nZADD z 1 a\n?z z\n\
        =\nZADD z 1 @300\nZREM z c\n=\nZADD z 2 @300 2 d\nZINCRBY z -1 @300\nZREM z a",
    ),
    (
        "collections restarted",
        "! cold 60\nHSET h a *9 b *9\nSADD s a b\nZADD z 1 a 1 b\n=\nrestart\nHSET h a *9\n\
        SREM s a\nZREM z a\n?z z\n=\nrestart\nHDEL h a b\nSADD s c\nZINCRBY z 4 b\n?h h\n\
        restart\nZADD z 5 a\nSREM s b c\nHSET h c *9",
    ),
    (
        "batches of elements",
        "HSET h 20[f& *5]\nSADD s 20[m&]\nZADD z 20[& m&]\n?s s\n=\nHDEL h 20[f&]\n\
        SREM s 5-20[m&]\nZADD z 10[1 m&]",
    ),
    (
        "a group grows and shrinks",
        "ZADD z 18[1 #&]\n=\nZADD z 18-24[1 #&]\n?z z\n=\nZREM z 2-20[#&]\nZADD z 2 #22\n=\n\
        ZREM z #23\nZADD z 1 #22 1 #5",
    ),
    (
        "a group shrinks at once",
        "ZADD z 24[1 #&] 1 @300 2 #30\n=\nZADD z 3-23[2 #&]\n=\nZREM z 3-23[#&] #30\n?z z\n\
        ZADD z 1 a 2 b",
    ),
    (
        "groups after a restart",
        "ZADD z 20[1 #&]\n=\nrestart\nZADD z 1 #20 1 #21\n=\nrestart\nZREM z 4-19[#&]\n\
        ZREM z #20 #21\n?z z",
    ),
    (
        "removal of collections",
        "HSET h a *9 b *9\nSADD s a b\nZADD z 1 a 1 b\n=\nDEL h z\nHSET h c *9\n?h h\n\
        DEL s h\nSADD s c\nFLUSHDB\nZADD z 2 c\nSADD s a\n=\nFLUSHDB\nHSET z a 1",
    ),
    (
        "another type",
        "SADD k a b\n=\nSREM k a b\nHSET k a *9\n?h k\n=\nHDEL k a\nZADD k 1 a 1 b\n=\nDEL k\n\
        SADD k b c\n?s k\n=\nSET k *30\nDEL k\nHSET k b 1\n=\nSET k 1\n?h k",
    ),
    (
        "deadlines of collections",
        "HSET h a 1\nPEXPIREAT h 1900000000000\nSADD s a\n=\nPEXPIREAT s 1900000000001\nPERSIST h\n\
        HSET h b 2\nHDEL h a b\nHSET h c 1\n?h h\n=\nZADD z 1 a\n\
        PEXPIREAT z 1900000000002\nSREM s a\n\
        SADD s b",
    ),
    (
        "expiry of collections",
        "HSET h a *9 b *9\nPEXPIRE h 100\nZADD z 3[1 m&]\nPEXPIRE z 300\nSADD s a\nPEXPIRE s 100\n\
        + 50\n?h h\nPERSIST s\n=\n+ 200\n?h h\nSADD h a\n+ 200\nZADD z 2 n\n=\n?z z",
    ),
    (
        "copies of collections",
        "HSET h a *9 b *9\nCOPY h i\nZADD z 1 a 1 b\n=\nHSET h a *5\nCOPY h i REPLACE\n\
        COPY z h REPLACE\n?z h\nCOPY z z DB 1\n=\nZREM z a\nCOPY z h REPLACE\nSELECT 1\n\
        SADD s a\nCOPY s z DB 0 REPLACE\nDEL z",
    ),
    (
        "renamed anew",
        "HSET h a *9 b *9\nRENAME h i\n?h i\n=\nSADD h a b\nRENAME h i\nRENAME i h\n=\n\
        SADD i c\nZADD z 1 a 1 b\nRENAME z i\nMOVE i 1\nSADD i a\n=\nRENAME h i\nMOVE i 2",
    ),
    (
        "renamed by a move",
        "SADD s 7[m&]\nSET b *9\n=\nrestart\nSADD s x\nRENAME s t\nSADD s n\n?s t\nSADD t y\n=\n\
        restart\nSREM t m1\nSET a 1\nRENAME t s\n?s s\nSREM s m2\nHSET t a 1\nDEL b",
    ),
    (
        "moved onto keys",
        "HSET h 6[f& *5]\nPEXPIREAT h 1900000000000\nZADD z 6[1 m&]\nPEXPIREAT z 1900000000001\n\
        SET b *9\n=\nrestart\nRENAME h b\n?h b\nRENAME z h\nHSET b f1 *9\n=\nSET z 1\nrestart\n\
        RENAME h b\nPERSIST b\nZADD b 2 m1\n?z b",
    ),
    (
        "moves between databases",
        "SADD s 6[m&]\nZADD z 6[1 m&]\n=\nrestart\nMOVE s 1\nSADD s a\nMOVE z 2\nSELECT 1\n\
        SADD s b\n=\nrestart\nMOVE s 2\nSELECT 2\nSREM s m0\nZREM z m0\nMOVE z 0",
    ),
    (
        "moves in a row",
        "SADD a 6[m&]\nSADD b 6[n&]\n=\nrestart\nRENAME a c\nRENAME b a\nRENAME c b\n?s a\n\
        SADD a x\nSADD b y\nRENAME a c\n=\nrestart\nSREM b m1\nRENAME b a\nRENAME c b\nDEL a",
    ),
    (
        "moves of long names",
        "! refuse bad\nSADD @300 6[m&]\nSADD ok 6[m&] @301\n=\nrestart\nRENAME @300 @299\n\
        RENAME ok bad\nSADD @300 a\n?s bad\n=\nrestart\nRENAME @299 ok\nRENAME bad @299\n\
        SREM @299 m0\nSADD bad b",
    ),
    (
        "moves and flushes",
        "SADD s 6[m&]\nSET a 1\n=\nrestart\nRENAME s t\nFLUSHDB\nSADD s a\n?s t\n=\n\
        SADD s 6[m&]\n=\nrestart\nFLUSHDB\nSADD s 6[n&]\nRENAME s t\nDEL t\nSADD t b",
    ),
    (
        "swapdb",
        "SET a *9\nSADD s a b\nSELECT 1\nSET a *9\nSWAPDB 0 1\nSET b *9\nSELECT 0\nDEL s\n\
        APPEND a x\n?s s\n=\nSWAPDB 0 1\nSADD s c\nSELECT 1\nSET c 1\nSWAPDB 1 0\nSWAPDB 0 2\n\
        SET c 2\nSELECT 2\nSADD s d",
    ),
    (
        "swapdb twice",
        "SET a *9\nSELECT 1\nSET a *9\nSET b 1\n=\nSWAPDB 0 1\nSWAPDB 0 1\nSET a *9\n? a\n\
        SWAPDB 1 0\nSET a *9\nDEL b\nSWAPDB 2 1\nSWAPDB 2 1\n=\nFLUSHDB\nSWAPDB 0 1\nSET d 1",
    ),
    (
        "swapdb and restarts",
        "! refuse bad\nSET a *9\nSET bad 1\nSELECT 1\nHSET h a 1\n=\nrestart\nSWAPDB 0 1\n\
        SET a 1\nrestart\nSELECT 0\nHSET h b 2\nSELECT 1\nAPPEND bad 2\n?h h\nSWAPDB 1 2\nDEL a\n\
        SET bad 5",
    ),
    (
        "swapdb and deadlines",
        "SET a 1 PX 100\nSELECT 1\nSET a 2 PX 300\nSADD s 6[m&]\nPEXPIRE s 200\n=\nSWAPDB 0 1\n\
        + 150\n? a\nSET a 3\nSWAPDB 0 1\n+ 100\nSADD s b\nSET c 1",
    ),
    (
        "collections of a small cache",
        "! cache 3000\n! cold 50\n4x HSET h$ 4[f& *40]\n=\n4x HSET h$ f1 *9\n?h h1\n\
        4x HDEL h$ f2\nRENAME h1 h2\n?h h2\nHSET h1 a 1\nSWAPDB 0 1\nSELECT 1\nRENAME h2 h3\n?h h3",
    ),
    (
        "collections on a full disk",
        "HSET h a *900 b *9\nSADD s a b\nZADD z 1 a 1 b\n=\n! full\nHSET h c *900\nSREM s a\n\
        ZADD z 1 c\nHDEL h a\nZADD z 2 a\n?h h\n! room\n+ 500\nZADD z 1 d\nSADD s c\nDEL h",
    ),
    (
        "groups on a full disk",
        "ZADD z 19[1 #&] 2 a\n=\n! full\nZADD z 1 #19 1 #20 1 #21\nZREM z #3\nSET a 1\n?z z\n\
        ! room\n+ 500\nZREM z 4-19[#&]\n=\n! full\nZREM z #20\nZADD z 2 #21\n! room\n\
        + 500\nZADD z 1 b",
    ),
    (
        "moves on a full disk",
        "SADD s 6[m&]\nSET a *9\nSELECT 1\nSET b *9\nSELECT 0\n=\nrestart\n! full\nRENAME s t\n\
        SET b 1\nSWAPDB 0 1\nFLUSHDB\n! room\n+ 500\nSET c 1\nSWAPDB 0 1\nSREM t m2",
    ),
    (
        "sizes",
        "SET a 1\nSET b 2\n=\nstop\nSET c 3\n=\n+ 2000\nstop\nDEL a\n=\nstop\nSET d 1\nSWAPDB 0 1\n\
        =\n+ 2000\nstop\nSET e 1",
    ),
    (
        "reads overtaken",
        "! cold 100\nSADD s a b\nSET k 1\n=\nrestart\n?s s\nFLUSHDB\n?s s\n? k\n\
        SADD s a b\nSET k 2\n=\n\
        restart\n?s s\nDEL k\nFLUSHDB\n?s s\nSADD s a b\nSET k 3\n=\nrestart\n? k\nFLUSHDB\n? k\n\
        SADD s a b\nSET k 4\n=\nrestart\n?s s\nFLUSHDB\n?s s\nSADD s a b\nSET k 5\n=\n\
        restart\n? k\n\
        FLUSHDB\n?s s\n? k\nSET k 6",
    ),
    (
        // Frames of a sector each: of two, the cuts take the first.
        "numbers taken again",
        "! everysec\nSET k *442\n=\nrestart\n\
        SET k *442\n=\n2x SET k *442\ncut 2\nSET k *954\n=\nrestart\n\
        SET k *442\n=\n2x SET k *442\ncut 6\nSET k *954\n=\nrestart\nSET k *9",
    ),
    (
        "transactions",
        "MULTI\nSET a *9\nSADD s a b\nINCR n\nEXEC\n? a\n=\nMULTI\nDEL a\nHSET h f *9 g *700\n\
        ZADD z 1 a 1 b\nINCR n\nEXEC\n?z z\nMULTI\nSREM s a b\nAPPEND n *20\nINCR n\n\
        RENAME h i\nEXEC\n=\nMULTI\nSET a 1\nFLUSHDB\nSET b *9\nEXEC\n? b",
    ),
    (
        "transactions that lack something",
        "! cold 70\n! cache 3000\nMSET a *200 b *200 c *300\nHSET h 8[f& *9]\nZADD z 8[& m&]\n=\n\
        restart\nMULTI\nAPPEND a *9\nHSET h f1 *5 f9 1\nZINCRBY z 3 m2\nDEL b\nEXEC\n?h h\n=\n\
        restart\nMULTI\nSET d 1\nZREM z m1 m2\nRENAME h i\nCOPY a b\nAPPEND b *9\nSWAPDB 0 1\n\
        EXEC\nSELECT 1\n? a\n?h i\nMULTI\nHDEL i f1\nMOVE z 0\nEXEC",
    ),
    (
        "transactions with swaps",
        "SET a *9\nSADD s a b\nSELECT 1\nSET a *5\n=\nMULTI\nAPPEND a *5\nSWAPDB 0 1\nSET c 1\n\
        DEL a\nSELECT 0\nAPPEND a *4\nEXEC\n? a\n=\nMULTI\nSWAPDB 0 2\nSET d *9\nSELECT 2\n\
        SREM s a\nFLUSHDB\nSET e 1\nEXEC\n? e",
    ),
    (
        "transactions larger than a segment",
        "MULTI\n6x SET k$ *900\nSADD s 40[m&]\nEXEC\n? k3\n=\nMULTI\n6x SET k$ *1000\n\
        SREM s 5-39[m&]\nDEL k0\nEXEC\nSET a 1\nMULTI\n4x DEL k$\nEXEC",
    ),
    (
        "scripts",
        "EVAL \"redis.call('set','a',unpack(ARGV)) redis.call('sadd','s','a','b') \
        return redis.call('incr','n')\" 0 *9\n? a\n=\n\
        EVAL \"redis.call('del','a') redis.call('hset','h','f',unpack(ARGV)) \
        redis.call('zadd','z',1,'a',1,'b') redis.call('incr','n') \
        return redis.pcall('incr','h')\" 0 *700\n?z z\n\
        EVAL \"redis.call('srem','s','a','b') redis.call('append','n',unpack(ARGV)) \
        redis.call('rename','h','i') return redis.call('incr','n')\" 0 *20\n=\n\
        EVAL \"redis.call('set','a',1) redis.call('flushdb') \
        redis.call('set','b',unpack(ARGV)) error('end')\" 0 *9\n? b",
    ),
    (
        "scripts that lack something",
        "! cold 70\n! cache 3000\nMSET a *200 b *200 c *300\nHSET h 8[f& *9]\nZADD z 8[& m&]\n=\n\
        restart\nEVAL \"redis.call('append','a','end') redis.call('hset','h','f1','v','f9',1) \
        redis.call('zincrby','z',3,'m2') return redis.call('del','b')\" 0\n?h h\n=\nrestart\n\
        EVAL \"for i=1,3 do redis.call('append','a',i) end redis.call('zrem','z','m1','m2') \
        redis.call('rename','h','i') redis.call('copy','a','b') redis.call('select',1) \
        redis.call('set','d',1) return redis.call('swapdb',0,1)\" 0\nSELECT 1\n? a\n?h i\n\
        MULTI\nHDEL i f1\nEVAL \"return redis.call('move','z',0)\" 0\nAPPEND a *9\nEXEC",
    ),
    (
        "scripts larger than a segment",
        "EVAL \"for i=1,6 do redis.call('set','k'..i,unpack(ARGV)) end\" 0 *900\n? k3\n=\n\
        EVAL \"for i=1,6 do redis.call('append','k'..i,unpack(ARGV)) end \
        return redis.call('del','k1')\" 0 *500\nSET a 1\n\
        EVAL \"for i=2,6 do redis.call('del','k'..i) end\" 0",
    ),
];
