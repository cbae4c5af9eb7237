"""The sponsor's report: protected numbers in words, as HTML, DOCX and PDF, in English and Chinese."""
