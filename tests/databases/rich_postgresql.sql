-- One of each kind of object. Roles rich_owner and rich_reader exist already.
CREATE EXTENSION hstore;
CREATE SCHEMA shop;
CREATE SCHEMA "we.ird ""q""";
CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'it''s fine');
CREATE TYPE shop.address AS (street text, zip varchar(10));
CREATE TYPE shop.span AS RANGE (subtype = float8);
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '@') NOT NULL;
CREATE SEQUENCE shop.ticket INCREMENT 5 START 100 CYCLE MAXVALUE 1000;
CREATE TABLE shop.users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email shop.email UNIQUE,
  name varchar(40) COLLATE "C" DEFAULT 'nobody',
  feeling shop.mood DEFAULT 'ok',
  home shop.address,
  first text, last text,
  full_name text GENERATED ALWAYS AS (first || ' ' || last) STORED,
  made timestamptz NOT NULL DEFAULT '2026-01-01 00:00+02',
  tags hstore, raw bytea, amount numeric(12, 3), ratio float8, doc jsonb,
  state varchar(10) CHECK (state IN ('new', 'old'))
) WITH (fillfactor = 70);
ALTER TABLE shop.users ADD CONSTRAINT named CHECK (amount > 0) NOT VALID;
CREATE TABLE shop.orders (
  id serial, user_id bigint REFERENCES shop.users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  day date NOT NULL, total numeric DEFAULT 0,
  during tsrange, EXCLUDE USING gist (during WITH &&),
  PRIMARY KEY (id)
);
CREATE TABLE shop.events (id bigint, day date NOT NULL, user_id bigint REFERENCES shop.users, note text)
  PARTITION BY RANGE (day);
CREATE TABLE shop.events_2025 PARTITION OF shop.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
CREATE INDEX events_day ON shop.events (day);
CREATE UNLOGGED TABLE shop.cache (key text PRIMARY KEY, value text);
CREATE TABLE parent (a int);
CREATE TABLE child (b int) INHERITS (parent);
CREATE TABLE "we.ird ""q"""."ta:ble
new%line" ("co.l""umn" int PRIMARY KEY, "user" text, "🐘 %s" text);
CREATE TABLE no_columns ();
CREATE INDEX users_lower ON shop.users (lower(name)) WHERE state IN ('new', 'old');
CREATE STATISTICS shop.user_stats ON first, last FROM shop.users;
ALTER TABLE shop.users ALTER COLUMN raw SET STORAGE EXTERNAL, ALTER COLUMN name SET STATISTICS 500;
CREATE VIEW shop.active AS SELECT id, email FROM shop.users WHERE state IN ('new', 'old');
CREATE MATERIALIZED VIEW shop.per_user AS SELECT user_id, count(*) AS orders FROM shop.orders GROUP BY user_id;
CREATE UNIQUE INDEX ON shop.per_user (user_id);
CREATE FUNCTION shop.add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION shop.add(a text) RETURNS text LANGUAGE sql AS $$ SELECT a || '%' $$;
CREATE PROCEDURE shop.tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM shop.cache; END $$;
CREATE AGGREGATE shop.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.made = now(); RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON shop.users FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name)
  EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.users DISABLE TRIGGER touched;
CREATE RULE no_delete AS ON DELETE TO shop.cache DO INSTEAD NOTHING;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON shop.orders FOR SELECT TO rich_reader USING (user_id > 0);
CREATE OPERATOR shop.<+> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = shop.add);
CREATE PUBLICATION all_of_it FOR TABLE shop.users;
COMMENT ON SCHEMA shop IS 'the shop';
COMMENT ON COLUMN shop.users.email IS 'where''s the mail?';
COMMENT ON CONSTRAINT named ON shop.users IS 'not for free';
GRANT USAGE ON SCHEMA shop TO rich_reader;
GRANT SELECT, INSERT ON shop.users TO rich_reader WITH GRANT OPTION;
GRANT UPDATE (name) ON shop.users TO rich_reader;
REVOKE EXECUTE ON FUNCTION shop.add(text) FROM PUBLIC;
GRANT SELECT ON shop.orders TO PUBLIC;
ALTER TABLE shop.cache OWNER TO rich_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO rich_reader;
CREATE FUNCTION shop.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION shop.on_ddl();
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (password 'canary');
CREATE SCHEMA ci_migrate;
CREATE TABLE ci_migrate.runs (id int);

INSERT INTO shop.users (email, name, first, last, feeling, home, tags, raw, amount, ratio, doc, state)
  SELECT 'u' || n || '@x.org', 'user ' || n, 'f', 'l' || n, 'sad', ('(street,' || n || ')')::shop.address, 'a=>1', '\x00ff', n + 0.5,
         n / 3.0, jsonb_build_object('n', n), 'new' FROM generate_series(1, 100) n;
INSERT INTO shop.orders (user_id, day, total) SELECT n, '2026-01-01', n FROM generate_series(1, 50) n;
INSERT INTO shop.events SELECT n, date '2025-06-01' + n * 10, n, 'note' FROM generate_series(1, 40) n;
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
INSERT INTO "we.ird ""q"""."ta:ble
new%line" VALUES (1, 'a', 'b'), (2, NULL, '');
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE shop.orders ADD COLUMN added text DEFAULT 'fast default';
REFRESH MATERIALIZED VIEW shop.per_user;
SELECT nextval('shop.ticket');
SELECT lo_from_bytea(0, '\x1234');
