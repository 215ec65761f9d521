"""Where MySQL and MariaDB differ, each with its source. Everything else in this folder is of both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Flavour:
    """One of the two, by what `VERSION()` says."""

    name: str
    version: tuple[int, int]
    text: str

    @property
    def mariadb(self) -> bool:
        """Whether it is MariaDB."""
        return self.name == "MariaDB"

    @property
    def oldest(self) -> tuple[int, int]:
        """The oldest version that is supported: both have atomic DDL from here on.

        https://dev.mysql.com/doc/refman/8.0/en/atomic-ddl.html, https://mariadb.com/kb/en/atomic-ddl/
        """
        return (10, 6) if self.mariadb else (8, 0)

    @property
    def checks(self) -> str:
        """CHECK constraints: table, name, clause, whether enforced.

        MariaDB's catalog names the table and has constraints of columns under the column's name; MySQL's names
        are unique in a database, and a constraint may be NOT ENFORCED. For `{one}` see `catalog`.
        https://mariadb.com/kb/en/information-schema-check_constraints-table/,
        https://dev.mysql.com/doc/refman/8.0/en/information-schema-check-constraints-table.html
        """
        if self.mariadb:
            return (
                "SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE, 'YES' FROM information_schema.CHECK_CONSTRAINTS"
                " WHERE CONSTRAINT_SCHEMA = %s{one}"
            )
        return (
            "SELECT t.TABLE_NAME, c.CONSTRAINT_NAME, c.CHECK_CLAUSE, t.ENFORCED"
            " FROM information_schema.CHECK_CONSTRAINTS c JOIN information_schema.TABLE_CONSTRAINTS t"
            " USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME)"
            " WHERE CONSTRAINT_SCHEMA = %s{one} AND t.CONSTRAINT_TYPE = 'CHECK'"
        )

    @property
    def indexes(self) -> str:
        """Columns of indexes: table, index, unique, column, direction, prefix, type, comment, hidden, expression.

        An index that the optimizer leaves alone is IGNORED on MariaDB (10.6), not IS_VISIBLE on MySQL; only MySQL
        has expressions as members. For `{one}` see `catalog`. https://mariadb.com/kb/en/ignored-indexes/,
        https://dev.mysql.com/doc/refman/8.0/en/information-schema-statistics-table.html
        """
        hidden = "IGNORED = 'YES', NULL" if self.mariadb else "IS_VISIBLE = 'NO', EXPRESSION"
        return (
            "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE, INDEX_COMMENT,"
            f" {hidden} FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s{{one}}"
            " ORDER BY CAST(TABLE_NAME AS BINARY), CAST(INDEX_NAME AS BINARY), SEQ_IN_INDEX"
        )

    @property
    def tablespaces(self) -> str:
        """Sizes of InnoDB's files of a database, in bytes; it needs PROCESS.

        MariaDB writes names there as file names, in a character set of their own.

        https://mariadb.com/kb/en/information-schema-innodb_sys_tablespaces-table/,
        https://dev.mysql.com/doc/refman/8.0/en/information-schema-innodb-tablespaces-table.html
        """
        table = "INNODB_SYS_TABLESPACES" if self.mariadb else "INNODB_TABLESPACES"
        name = "CAST(CONVERT(%s USING filename) AS CHAR CHARACTER SET binary)" if self.mariadb else "%s"
        return (
            f"SELECT COALESCE(SUM(FILE_SIZE), 0) FROM information_schema.{table}"
            f" WHERE SUBSTRING_INDEX(NAME, '/', 1) = {name}"
        )

    @property
    def sees_routines(self) -> str:
        """The grant by which an account sees the text of routines that others defined.

        https://mariadb.com/kb/en/grant/#database-privileges (SHOW CREATE ROUTINE, 11.3),
        https://dev.mysql.com/doc/refman/8.0/en/privileges-provided.html#priv_show-routine (8.0.20)
        """
        if not self.mariadb:
            return "SHOW_ROUTINE ON *.*"
        return "SHOW CREATE ROUTINE ON *.*" if self.version >= (11, 3) else "SELECT ON mysql.proc"

    @property
    def no_statement_limit(self) -> str:
        """Takes the limit off a session's statements: seconds on MariaDB, milliseconds of a SELECT on MySQL.

        https://mariadb.com/kb/en/server-system-variables/#max_statement_time,
        https://dev.mysql.com/doc/refman/8.0/en/server-system-variables.html#sysvar_max_execution_time
        """
        return f"SET SESSION {'max_statement_time' if self.mariadb else 'max_execution_time'} = 0"

    def statement_limit(self, seconds: float) -> str:
        """Limits a session's statements, as `no_statement_limit` takes it off."""
        if self.mariadb:
            return f"SET SESSION max_statement_time = {seconds:.3f}"
        return f"SET SESSION max_execution_time = {seconds * 1000:.0f}"


def flavour_of(version: str) -> Flavour:
    """The flavour by the text of `VERSION()`: `10.11.6-MariaDB-log`, `8.0.36`, `5.5.5-10.6.1-MariaDB`."""
    text = version.removeprefix("5.5.5-")  # MariaDB's word for old clients
    numbers = text.split("-")[0].split(".")
    name = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    return Flavour(name, (int(numbers[0]), int(numbers[1])), text)
