"""Texts under the buttons: progress, results and errors, each as one sentence of HTML."""

from __future__ import annotations

from html import escape

from inputopt.errors import one_line, out_of_memory


def sentence(error: BaseException) -> str:
    """The message for an error, in one sentence without a traceback.

    >>> sentence(ValueError("eps must be a number of at least 0, not -1."))
    'eps must be a number of at least 0, not -1.'
    >>> sentence(KeyError("x"))
    'This did not work (KeyError); change the settings and try again.'
    """
    if out_of_memory(error):
        return "There is not enough memory; choose a smaller image or network."
    if isinstance(error, (ValueError, TypeError, ModuleNotFoundError)) and str(error):
        return one_line(error)
    return f"This did not work ({type(error).__name__}); change the settings and try again."


def failed(error: BaseException) -> str:
    """An error, which screen readers announce."""
    return f'<p class="io-message io-error" role="alert">{escape(sentence(error))}</p>'


def said(text: str) -> str:
    """A result, which screen readers announce when they are idle."""
    return f'<p class="io-message" role="status">{escape(text)}</p>'


def progress(text: str) -> str:
    """A progress text, which changes too often to be announced."""
    return f'<p class="io-message">{escape(text)}</p>'
