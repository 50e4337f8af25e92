-- The metadata contract: views over the manifests and ledger tables. {root} is the catalog folder.

create or replace view materializations as
select asset, partition, run_id, finished_at, seconds, rows_in, rows_created, rows_out, rows_dropped, bytes,
       code_version, settings_hash, data_version, inputs, measures,
       not contains(filename, '/catalog/history/') as latest
from read_json(['{root}/manifests/*/*.json', '{root}/history/*/*/*.json'], format = 'unstructured', filename = true,
    columns = {{
    asset: 'varchar', partition: 'varchar', run_id: 'varchar', finished_at: 'timestamptz', seconds: 'double',
    rows_in: 'bigint', rows_created: 'bigint', rows_out: 'bigint', rows_dropped: 'bigint', bytes: 'bigint',
    code_version: 'varchar', settings_hash: 'varchar', data_version: 'varchar', inputs: 'json', measures: 'json'}});

create or replace view decisions as
select row_id, source, file, position, asset, partition, verdict, reason, detail::json as detail
from read_parquet('{root}/decisions/*/*.parquet');

create or replace view edges as
select child_id, parent_id, operation, asset, partition from read_parquet('{root}/edges/*/*.parquet');

create or replace view origins as
select row_id, source, file, position, licence from read_parquet('{root}/origins/*/*.parquet');

create or replace view annotations as
select row_id, source, file, position, name, value::json as value, asset, partition
from read_parquet('{root}/annotations/*/*.parquet');

create or replace view quarantine as
select source, file, position, raw, asset, partition from read_parquet('{root}/quarantine/*/*.parquet');

create or replace view files as
select source, file, records, rows, repaired, dropped, asset, partition from read_parquet('{root}/files/*/*.parquet');

create or replace view keys as
select source, layout, path, records, read, chars, chars_read, running_text, estimated, example, asset, partition
from read_parquet('{root}/keys/*/*.parquet');

-- Model calls of every materialization, past ones included. A call was made if it is not cached.
create or replace view generations as
select request_key, row_id, asset, partition, run_id, kind, model, prompt, prompt_tokens, completion_tokens,
       seconds, cached, error, cause, attempt, cost
from read_parquet('{root}/generations/*/**/*.parquet', union_by_name = true);
