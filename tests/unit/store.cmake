unit_test(blob_rows store)
