-- One of each kind of object of MariaDB; statements end with a line of two slashes.
CREATE TABLE users (
  id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE COMMENT 'where''s the mail?',
  name varchar(40) DEFAULT 'nobody',
  state enum('new', 'old') NOT NULL DEFAULT 'new',
  flags set('a', 'b'), bits bit(5) DEFAULT b'101', amount decimal(12, 3) CHECK (amount > 0), ratio double,
  made timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  raw longblob, doc json, secret int INVISIBLE DEFAULT 7,
  first varchar(20), last varchar(20), full_name varchar(41) AS (concat(first, ' ', last)) STORED,
  initial char(1) AS (left(first, 1)) VIRTUAL,
  CONSTRAINT named CHECK (name <> '')
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED COMMENT='the people'
//
CREATE TABLE orders (
  id int NOT NULL AUTO_INCREMENT, user_id bigint unsigned, day date NOT NULL, note text, place point NOT NULL,
  PRIMARY KEY (id), KEY by_user (user_id, day), KEY by_note (note(10)) COMMENT 'a prefix', KEY unused (day) IGNORED,
  FULLTEXT KEY words (note), SPATIAL KEY place (place),
  CONSTRAINT owner FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE ON UPDATE SET NULL
) DEFAULT CHARSET=latin1
//
CREATE TABLE parts (id int, day int NOT NULL) PARTITION BY RANGE (day) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (
  PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)
//
CREATE TABLE versioned (a int) WITH SYSTEM VERSIONING
//
CREATE TABLE plain_file (a int) ENGINE=MyISAM
//
CREATE TABLE `we.ird "q" ``b` (`co.l"umn` int PRIMARY KEY, `%s %(x)s` text, `new
line` int, `é ü` int)
//
CREATE TABLE T (a int, b int, PRIMARY KEY (a, b), KEY ix (b, a))
//
CREATE TABLE t (b int, a int, c int, PRIMARY KEY (b, a), KEY ix (c, a))
//
CREATE SEQUENCE ticket START WITH 100 INCREMENT BY 5 MAXVALUE 1000 CYCLE
//
CREATE VIEW active AS SELECT u.id, u.email FROM users u WHERE u.state = 'new' WITH CASCADED CHECK OPTION
//
CREATE SQL SECURITY INVOKER VIEW joined AS SELECT o.id FROM orders o JOIN active a ON a.id = o.user_id
//
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW SET NEW.name = trim(NEW.name)
//
CREATE TRIGGER then_this BEFORE UPDATE ON users FOR EACH ROW FOLLOWS touched SET NEW.ratio = 1
//
CREATE FUNCTION plus(a int, b int) RETURNS int DETERMINISTIC COMMENT 'adds' RETURN a + b
//
CREATE PROCEDURE tidy(IN days int, OUT gone int) MODIFIES SQL DATA
BEGIN DELETE FROM orders WHERE day < current_date() - INTERVAL days DAY; SET gone = row_count(); END
//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'sweeps' DO CALL tidy(30, @gone)
//
