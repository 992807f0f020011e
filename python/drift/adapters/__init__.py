"""drift inside other frameworks, one module each; a module is imported with the extra of its name installed.

| module | extra | what it is |
|---|---|---|
| `drift.adapters.langchain` | ``langchain`` | a `VectorStore` of LangChain |
| `drift.adapters.haystack` | ``haystack`` | a document store and a retriever of Haystack |
| `drift.adapters.llama_index` | ``llama-index`` | a vector store of LlamaIndex |
| `drift.adapters.sklearn` | ``sklearn`` | a transformer into neighbour graphs for scikit-learn pipelines |
| `drift.adapters.mcp` | ``mcp`` | a server of the Model Context Protocol: ``python -m drift.adapters.mcp PATH`` |
| `drift.adapters.ann_benchmarks` | | an algorithm of ann-benchmarks |
| `drift.adapters.vectordb_bench` | ``vectordb-bench`` | a client of VectorDBBench, and its command line |

They use the public API and the trees of filters (`drift._filter`), and nothing in `drift` imports them.
"""
