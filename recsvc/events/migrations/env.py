"""What Alembic runs to migrate: on the connection that `recsvc.events.migrations` holds, in its transaction."""

from alembic import context

from recsvc.events.schema import metadata

# A batch rebuilds a table where SQLite cannot alter it.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
