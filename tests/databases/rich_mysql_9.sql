SET sql_mode = '';
CREATE TABLE authors (
  id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80) CHARACTER SET latin1 COMMENT 'who''s who',
  born DATE DEFAULT '1000-01-01', flags BIT(3), raw BLOB, settings JSON, kind ENUM('a','b') DEFAULT 'b',
  shout VARCHAR(80) AS (UPPER(name)) VIRTUAL, length INT AS (CHAR_LENGTH(name)) STORED, price DECIMAL(10,2), at TIMESTAMP(3) NULL,
  CONSTRAINT priced CHECK (price > 0), KEY by_name (name(10)), FULLTEXT KEY words (name)
) COMMENT 'authors; DROP' CHARSET=utf8mb4;
CREATE TABLE books (
  id BIGINT AUTO_INCREMENT PRIMARY KEY, author INT NOT NULL, title TEXT, place POINT NOT NULL, UNIQUE KEY one (title(50)),
  SPATIAL KEY there (place), CONSTRAINT written FOREIGN KEY (author) REFERENCES authors (id) ON DELETE CASCADE
) AUTO_INCREMENT=70 COLLATE utf8mb4_unicode_ci;
CREATE TABLE log (at INT, what TEXT) PARTITION BY RANGE (at) (PARTITION old VALUES LESS THAN (10), PARTITION new VALUES LESS THAN MAXVALUE);
CREATE TABLE `we.ird "q" 'x' ``b``
☃new%line -- #` (`co``l
umn` INT, `select` TEXT);
CREATE TABLE empty_one (id INT);
CREATE TABLE old_engine (id INT) ENGINE=MyISAM;
INSERT INTO authors (id, name, flags, raw, settings, price, at) VALUES
  (5, 'Zoë\n(1);', b'101', x'00ff0a27', '{"a": [1, "x"]}', 1.5, '2024-01-02 03:04:05.678'), (8, 'it''s\\', b'000', '', NULL, 2, NULL);
SET sql_mode = '';
CREATE TABLE zero (day DATE, moment DATETIME DEFAULT '0000-00-00');
INSERT INTO zero VALUES ('0000-00-00', '2024-00-10 00:00:00'), ('2024-02-00', DEFAULT);
INSERT INTO books (author, title, place) VALUES (5, '😀;\nINSERT INTO `books` VALUES\n(9),(', POINT(1, 2)), (8, '\0\r\n\Z\t', POINT(3, 4));
INSERT INTO log VALUES (1, NULL), (11, REPEAT('x', 3000000)), (12, 'a),(b');
INSERT INTO `we.ird "q" 'x' ``b``
☃new%line -- #` VALUES (1, 'x'), (2, 'y'), (3, 'z');
INSERT INTO old_engine VALUES (1), (2);
SET sql_mode = 'STRICT_TRANS_TABLES';
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC COMMENT 'f' RETURN x * 2;
CREATE VIEW z_base AS SELECT id, twice(id) AS doubled, 'THISDB.x' AS text FROM authors;
CREATE SQL SECURITY INVOKER VIEW a_first AS SELECT * FROM z_base WHERE id > 1 WITH CHECK OPTION;
CREATE TRIGGER second_one BEFORE INSERT ON books FOR EACH ROW SET NEW.title = CONCAT(NEW.title, '!');
CREATE TRIGGER first_one BEFORE INSERT ON books FOR EACH ROW PRECEDES second_one
BEGIN
  -- a comment; with 'a quote
  INSERT INTO log VALUES
(1, 'trigger;;');
END;
CREATE PROCEDURE clean(IN n INT, OUT m INT) SQL SECURITY INVOKER
BEGIN DELETE FROM THISDB.log WHERE what = 'THISDB.log' /* THISDB.x */; CALL `THISDB`.`clean`(n, m); END;
CREATE EVENT nightly ON SCHEDULE EVERY 1 SECOND STARTS '2024-01-01 00:00:00' ENABLE COMMENT 'ENABLE' DO DELETE FROM empty_one;
CREATE FUNCTION once(x INT) RETURNS INT DETERMINISTIC RETURN x;
CREATE TABLE modern (id BIGINT PRIMARY KEY, doc JSON, hidden INT DEFAULT 5 INVISIBLE, spot POINT NOT NULL SRID 4326,
  tag VARCHAR(40) COLLATE utf8mb4_0900_ai_ci DEFAULT (UPPER('x')), ids INT AS (CAST(doc->'$.id' AS SIGNED)) STORED,
  KEY functional ((LOWER(tag))), KEY falling (tag DESC), KEY unseen (ids) INVISIBLE, SPATIAL KEY at_spot (spot),
  KEY each_one ((CAST(doc->'$.tags' AS UNSIGNED ARRAY))),
  CONSTRAINT loose CHECK (id > 100) NOT ENFORCED);
INSERT INTO modern (id, doc, spot) VALUES (1, '{"id": 7, "tags": [1, 2]}', ST_GeomFromText('POINT(1 2)', 4326));
