"""Pictures of distributions and losses, as scenes that are drawn as SVG or PNG.

The one law: a drawing is a value. Who shows it (a page, a notebook, a file) changes nothing in it.
"""

from tfnorm.drawing.axes import Words as Words
from tfnorm.drawing.distribution import before_and_after as before_and_after
from tfnorm.drawing.distribution import describe as describe
from tfnorm.drawing.distribution import distribution as distribution
from tfnorm.drawing.distribution import small as small
from tfnorm.drawing.distribution import two as two
from tfnorm.drawing.losses import loss_curves as loss_curves
from tfnorm.drawing.picture import Picture as Picture
from tfnorm.drawing.picture import shown_or_saved as shown_or_saved
from tfnorm.drawing.png import png as png
from tfnorm.drawing.scene import STYLES as STYLES
from tfnorm.drawing.scene import Scene as Scene
from tfnorm.drawing.svg import svg as svg
