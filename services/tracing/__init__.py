"""The tracing service: takes spans by OTLP and Zipkin, keeps them in SQLite, answers Jaeger's query API.

`main` (composition root) > `receive` (the wire's edges) | `query` (Jaeger's API) | `page` (HTML) > `store` (SQLite) >
`decode`* (wire formats to rows). `*` marks pure code.
"""
